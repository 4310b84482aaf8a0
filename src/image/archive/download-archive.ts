/** An archive from somewhere on the web, for `import URL`. */
import { EngineError, wrapError } from "../../core/errors.ts";
import type { RegistryRequests } from "../registry/requests.ts";
import type { RegistryRequest } from "../registry/transport.ts";

export interface RemoteArchive {
  /** With a scheme, and without a password. */
  url: string;
  body: AsyncIterable<Uint8Array>;
  /** Bytes; undefined where the server does not say. */
  size: number | undefined;
}

/**
 * Asks as registries are asked: through the daemon's proxy, trusting what it trusts, and not for ever.
 * @param location without a scheme it is http, as docker has it.
 * @throws EngineError invalid_argument for what is no such address, unavailable, not_found, cancelled; the body too.
 */
export async function downloadArchive(
  requests: RegistryRequests,
  location: string,
  signal: AbortSignal,
): Promise<RemoteArchive> {
  const request: RegistryRequest = { ...parseLocation(location), isInsecure: false, signal };
  const { url } = request;
  try {
    const response = await requests.send(request);
    if (response.status !== 200) {
      await response.discard();
      const code = response.status === 404 ? "not_found" : "unavailable";
      throw new EngineError(code, `the server answered ${response.status}`);
    }
    const length = response.headers.get("content-length");
    const size = length === null ? undefined : Number(length);
    return { url, body: response.body, size: Number.isSafeInteger(size) ? size : undefined };
  } catch (error) {
    throw wrapError(error, `download ${url}`, { stage: "download" });
  }
}

/** Name and password are for the server, not for messages. */
function parseLocation(location: string): Pick<RegistryRequest, "url" | "authorization"> {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(location) ? location : `http://${location}`;
  if (!URL.canParse(text)) throw new EngineError("invalid_argument", `${JSON.stringify(location)} is no URL`);
  const url = new URL(text);
  const { protocol, username, password } = url;
  if (protocol !== "http:" && protocol !== "https:") {
    throw new EngineError("invalid_argument", `${JSON.stringify(location)}: neither http nor https`);
  }
  if (username === "" && password === "") return { url: url.href };
  url.username = "";
  url.password = "";
  const words = `${decoded(username)}:${decoded(password)}`;
  return { url: url.href, authorization: `Basic ${Buffer.from(words).toString("base64")}` };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that means itself
  }
}
