/** An archive from somewhere on the web, for `import URL`. */
import { EngineError, errorMessage } from "../../core/errors.ts";

export interface RemoteArchive {
  /** With a scheme. */
  url: string;
  body: AsyncIterable<Uint8Array>;
  /** Bytes; undefined where the server does not say. */
  size: number | undefined;
}

/**
 * @param location without a scheme it is http, as docker has it.
 * @throws EngineError invalid_argument for what is no such address, unavailable, not_found.
 */
export async function downloadArchive(location: string, signal: AbortSignal): Promise<RemoteArchive> {
  const url = parseLocation(location);
  let response: Response;
  try {
    // As it is: a gzip'd archive stays one.
    response = await fetch(url, {
      signal,
      decompress: false,
      headers: { "accept-encoding": "identity" },
    } as RequestInit);
  } catch (error) {
    if (signal.aborted) throw new EngineError("cancelled", "cancelled");
    throw new EngineError("unavailable", `download ${url}: ${errorMessage(error)}`, {
      stage: "download",
      cause: error,
    });
  }
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    const code = response.status === 404 ? "not_found" : "unavailable";
    throw new EngineError(code, `download ${url}: the server answered ${response.status}`, { stage: "download" });
  }
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  return {
    url,
    body: response.body as AsyncIterable<Uint8Array>,
    size: Number.isSafeInteger(length) ? length : undefined,
  };
}

function parseLocation(location: string): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(location) ? location : `http://${location}`;
  if (!URL.canParse(text)) throw new EngineError("invalid_argument", `${JSON.stringify(location)} is no URL`);
  const { protocol, href } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") {
    throw new EngineError("invalid_argument", `${JSON.stringify(location)}: neither http nor https`);
  }
  return href;
}
