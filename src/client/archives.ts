/** The daemon's routes that carry archives. @throws EngineError for every refusal. */
import type { JsonMessage } from "../api/schema/progress.ts";
import type { DaemonAddress } from "./host.ts";
import { request } from "./http.ts";
import { jsonLines } from "./json-lines.ts";

/** The container's file system as a tar archive. */
export async function exportContainer(address: DaemonAddress, container: string): Promise<AsyncIterable<Uint8Array>> {
  const response = await request(address, "GET", `/containers/${encodeURIComponent(container)}/export`);
  return response.chunks();
}

/** @param platforms as JSON. */
export async function saveImages(
  address: DaemonAddress,
  names: readonly string[],
  platforms: readonly string[],
): Promise<AsyncIterable<Uint8Array>> {
  const response = await request(address, "GET", "/images/get", { query: { names, platform: platforms } });
  return response.chunks();
}

/** @param platforms as JSON. */
export async function* loadImages(
  address: DaemonAddress,
  archive: ReadableStream<Uint8Array>,
  { quiet, platforms }: { quiet: boolean; platforms: readonly string[] },
): AsyncGenerator<JsonMessage> {
  const query = { quiet: quiet ? "1" : "0", platform: platforms };
  const headers = { "content-type": "application/x-tar" };
  const response = await request(address, "POST", "/images/load", { query, headers, stream: archive });
  yield* jsonLines<JsonMessage>(response.chunks());
}

/** @param source the archive itself, or a URL that the daemon is to fetch it from. */
export async function* importImage(
  address: DaemonAddress,
  source: ReadableStream<Uint8Array> | string,
  options: { reference: string; message: string; changes: readonly string[]; platform: string },
): AsyncGenerator<JsonMessage> {
  const { reference, message, changes, platform } = options;
  const query = {
    fromSrc: typeof source === "string" ? source : "-",
    message,
    repo: reference,
    changes,
    platform: platform === "" ? undefined : platform,
  };
  const body = typeof source === "string" ? {} : { stream: source };
  const response = await request(address, "POST", "/images/create", { query, ...body });
  yield* jsonLines<JsonMessage>(response.chunks());
}

export async function commitContainer(
  address: DaemonAddress,
  container: string,
  options: { reference: string; comment: string; author: string; pause: boolean; changes: readonly string[] },
): Promise<string> {
  const { reference: repo, comment, author, pause, changes } = options;
  const query = { container, repo, comment, author, changes, ...(!pause && { pause: "0" }) };
  const response = await request(address, "POST", "/commit", { query });
  return (await response.json<{ Id: string }>()).Id;
}
