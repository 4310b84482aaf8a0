/** The daemon's routes for single files of containers. @throws EngineError for every refusal. */
import type { FileChangeJson } from "../api/schema/file-change.ts";
import { type PathStatJson, pathStatHeader } from "../api/schema/path-stat.ts";
import { EngineError, isEngineError } from "../core/errors.ts";
import type { Answer } from "./answer.ts";
import type { DaemonAddress } from "./host.ts";
import { request } from "./http.ts";

function route(container: string): string {
  return `/containers/${encodeURIComponent(container)}/archive`;
}

/** What a path stands for; undefined where there is nothing, or no such container: who copies will be told. */
export async function statPath(
  address: DaemonAddress,
  container: string,
  path: string,
): Promise<PathStatJson | undefined> {
  try {
    return statOf(await request(address, "HEAD", route(container), { query: { path } }));
  } catch (error) {
    if (!isEngineError(error) || error.code === "unavailable") throw error;
    return undefined;
  }
}

export async function readArchive(
  address: DaemonAddress,
  container: string,
  path: string,
): Promise<{ stat: PathStatJson; archive: AsyncGenerator<Uint8Array, void, void> }> {
  const answer = await request(address, "GET", route(container), { query: { path } });
  return { stat: statOf(answer), archive: answer.chunks() };
}

export interface WriteOptions {
  /** Of a directory. */
  path: string;
  /** To the container's user. */
  toUser: boolean;
  /** `user[:group]`. */
  owner?: string;
}

export async function writeArchive(
  address: DaemonAddress,
  container: string,
  { path, toUser, owner }: WriteOptions,
  archive: ReadableStream<Uint8Array>,
): Promise<void> {
  const query = { path, noOverwriteDirNonDir: true, ...(toUser && { copyUIDGID: true }), chown: owner };
  const headers = { "content-type": "application/x-tar" };
  await request(address, "PUT", route(container), { query, headers, stream: archive });
}

export async function listChanges(address: DaemonAddress, container: string): Promise<FileChangeJson[]> {
  const answer = await request(address, "GET", `/containers/${encodeURIComponent(container)}/changes`);
  return (await answer.json<FileChangeJson[] | null>()) ?? [];
}

function statOf(answer: Answer): PathStatJson {
  const header = answer.header(pathStatHeader);
  if (header === undefined) throw new EngineError("unavailable", "the daemon does not say what the path stands for");
  return JSON.parse(Buffer.from(header, "base64").toString()) as PathStatJson;
}
