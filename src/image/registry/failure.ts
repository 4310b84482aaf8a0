/** What a registry's refusal means, in the words that docker uses: scripts and people search for them. */
import { advice } from "../../core/advice.ts";
import { EngineError, type ErrorCode } from "../../core/errors.ts";
import { parseRegistryErrors, type RegistryError } from "../../oci/distribution.ts";
import { defaultRegistry, familiarName, familiarReference, type Reference } from "../reference.ts";
import { type RegistryRequest, type RegistryResponse, requestName, shownSeconds } from "./transport.ts";

/** A registry that was still too busy when it had been waited for (requests.ts): nobody else waits for it once more. */
export class RegistryBusy extends EngineError {}

const errorBytesMax = 64 * 1024;

/** The error for a response that is no success. Reads and ends its body. */
export async function registryFailure(
  reference: Reference,
  request: Pick<RegistryRequest, "method" | "url">,
  response: RegistryResponse,
  action: "pull" | "push" = "pull",
): Promise<EngineError> {
  const [error] = parseRegistryErrors(await readBody(response));
  const meaning = meaningOf(response.status, error, request.url);
  const cause = error ? `${error.code.toLowerCase().replaceAll("_", " ")}: ${error.message}` : defaultCauses[meaning];
  switch (meaning) {
    case "manifest unknown":
      return new EngineError("not_found", `manifest for ${familiarReference(reference)} not found: ${cause}`, {
        hint: advice.tag,
      });
    case "name unknown":
      return new EngineError("not_found", `repository ${familiarName(reference)} not found: ${cause}`, {
        hint: advice.tag,
      });
    case "blob unknown":
      return new EngineError("not_found", `${requestName(request)}: ${cause}`);
    case "denied":
    case "unauthorized": {
      const code: ErrorCode = meaning === "denied" ? "not_found" : "unauthorized";
      const what = `${action} access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login'`;
      return new EngineError(code, `${what}: ${cause}`, { hint: advice.access(serverOf(reference)) });
    }
    case "too many requests":
      return new EngineError(
        "unavailable",
        `${cause.replace(/^too many requests/, "toomanyrequests")} (${familiarName(reference)})`,
        retryHint(response),
      );
    case "other": {
      const status = `${response.status} ${response.statusText}`.trim();
      const reason = error ? `${cause} (${status})` : `received unexpected HTTP status: ${status}`;
      return new EngineError("unavailable", `${requestName(request)}: ${reason}`);
    }
  }
}

/** As `login` takes it: nothing for Docker Hub. */
function serverOf({ registry }: Reference): string {
  return registry === defaultRegistry ? "" : registry;
}

type Meaning =
  | "manifest unknown"
  | "name unknown"
  | "blob unknown"
  | "denied"
  | "unauthorized"
  | "too many requests"
  | "other";

const defaultCauses: Record<Meaning, string> = {
  "manifest unknown": "manifest unknown: manifest unknown",
  "name unknown": "name unknown: repository name not known to registry",
  "blob unknown": "blob unknown: blob unknown to registry",
  denied: "denied: requested access to the resource is denied",
  unauthorized: "unauthorized: authentication required",
  "too many requests": "toomanyrequests: too many requests",
  other: "",
};

/** By the code where there is one, else by the status: HEAD has no body, and proxies answer in HTML. */
function meaningOf(status: number, error: RegistryError | undefined, url: string): Meaning {
  switch (error?.code) {
    case "MANIFEST_UNKNOWN":
      return "manifest unknown";
    case "NAME_UNKNOWN":
      return "name unknown";
    case "BLOB_UNKNOWN":
      return "blob unknown";
    case "DENIED":
      return "denied";
    case "UNAUTHORIZED":
      return "unauthorized";
    case "TOOMANYREQUESTS":
      return "too many requests";
  }
  // Of an upload or a list the address names nothing that could be unknown.
  const kind = /\/(manifests|blobs)\/[^/]+$/.exec(new URL(url).pathname)?.[1];
  if (status === 401) return "unauthorized";
  if (status === 403) return "denied";
  if (status === 429) return "too many requests";
  if (status !== 404 || kind === undefined) return "other";
  return kind === "blobs" ? "blob unknown" : "manifest unknown";
}

function retryHint(response: RegistryResponse): { hint?: string } {
  const after = response.headers.get("retry-after");
  return after === null
    ? {}
    : {
        hint: `the registry asks to try again after ${/^\d+$/.test(after) ? shownSeconds(Number(after) * 1000) : after}`,
      };
}

async function readBody(response: RegistryResponse): Promise<string> {
  try {
    return Buffer.from(await response.bytes(errorBytesMax)).toString();
  } catch {
    // The status says enough; that its explanation did not arrive whole is no other error.
    return "";
  }
}
