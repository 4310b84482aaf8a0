/**
 * Where plugins are found, as Docker finds them (https://docs.docker.com/engine/extend/plugin_api/#plugin-discovery):
 * a socket `NAME.sock`, or `NAME/NAME.sock`, or a file `NAME.spec` or `NAME.json` that says where to go. The folders
 * are looked at when a plugin is asked for, so it may come, go and move as it likes.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { EngineError, errorMessage, isErrno, wrapError } from "../core/errors.ts";

/** Docker's: sockets are looked for in all of them before files. */
export const defaultPluginDirectories: readonly string[] = [
  "/run/docker/plugins",
  "/etc/docker/plugins",
  "/usr/lib/docker/plugins",
];

export type PluginEndpoint =
  | { kind: "unix"; socket: string }
  /** `url` is `http://host:port` or `https://host:port`. */
  | { kind: "tcp"; url: string; tls?: PluginTls };

export interface PluginTls {
  /** False: whoever answers is believed. */
  verify: boolean;
  /** PEM. */
  authority?: string;
  certificate?: string;
  key?: string;
}

/** A specification is a line. */
const specBytesMax = 65_536;

/** @returns whether the name can be that of a file; others, like `vieux/sshfs`, are of Docker's managed plugins. */
export function canBePlugin(name: string): boolean {
  return name !== "" && name.length <= 250 && !/[/\0]/.test(name) && !name.startsWith(".");
}

/**
 * Where the plugin of that name is to be reached; undefined when the folders have nothing of it.
 * @throws EngineError invalid_argument for a file that does not say where.
 */
export async function findPlugin(name: string, directories: readonly string[]): Promise<PluginEndpoint | undefined> {
  if (!canBePlugin(name)) return undefined;
  for (const path of candidates(name, directories, ["sock"])) {
    if (await isSocket(path)) return { kind: "unix", socket: path };
  }
  for (const path of candidates(name, directories, ["spec", "json"])) {
    const text = await readSpecification(path);
    if (text === undefined) continue;
    try {
      return path.endsWith(".json") ? await parseJson(text) : parseAddress(text.trim(), undefined);
    } catch (error) {
      throw new EngineError("invalid_argument", `plugin ${path}: ${errorMessage(error)}`, { path, cause: error });
    }
  }
  return undefined;
}

/** The names of all plugins that the folders have something of. */
export async function listPlugins(directories: readonly string[]): Promise<string[]> {
  const names = new Set<string>();
  for (const directory of directories) {
    for (const entry of await entries(directory)) {
      const name = entry.name.replace(/\.(sock|spec|json)$/, "");
      if (name !== entry.name) names.add(name);
      else if (entry.isDirectory() || entry.isSymbolicLink()) {
        const inside = await entries(join(directory, name));
        if (inside.some((file) => [`${name}.sock`, `${name}.spec`, `${name}.json`].includes(file.name)))
          names.add(name);
      }
    }
  }
  return [...names].filter(canBePlugin).sort();
}

function candidates(name: string, directories: readonly string[], suffixes: string[]): string[] {
  return directories.flatMap((directory) =>
    suffixes.flatMap((suffix) => [join(directory, `${name}.${suffix}`), join(directory, name, `${name}.${suffix}`)]),
  );
}

async function isSocket(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isSocket();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES")) return false;
    throw wrapError(error, `plugin socket ${path}`);
  }
}

async function entries(directory: string) {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES")) return [];
    throw wrapError(error, `plugin folder ${directory}`);
  }
}

async function readSpecification(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > specBytesMax) throw new EngineError("invalid_argument", `plugin ${path}: is no line but ${size} bytes`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw wrapError(error, `plugin ${path}`);
  }
}

const jsonSchema = v.looseObject({
  Addr: v.string(),
  TLSConfig: v.nullish(
    v.looseObject({
      InsecureSkipVerify: v.nullish(v.boolean()),
      CAFile: v.nullish(v.string()),
      CertFile: v.nullish(v.string()),
      KeyFile: v.nullish(v.string()),
    }),
  ),
});

async function parseJson(text: string): Promise<PluginEndpoint> {
  const { Addr, TLSConfig } = v.parse(jsonSchema, JSON.parse(text));
  return parseAddress(Addr, TLSConfig ? await readTls(TLSConfig) : undefined);
}

async function readTls(config: NonNullable<v.InferOutput<typeof jsonSchema>["TLSConfig"]>): Promise<PluginTls> {
  const { CAFile, CertFile, KeyFile, InsecureSkipVerify } = config;
  if (!CertFile !== !KeyFile) throw new Error(`TLSConfig: ${CertFile ? "KeyFile" : "CertFile"} is missing`);
  return {
    // As Docker has it: without an authority of its own a plugin is not verified.
    verify: Boolean(CAFile) && InsecureSkipVerify !== true,
    ...(CAFile && { authority: await readFile(CAFile, "utf8") }),
    ...(CertFile && { certificate: await readFile(CertFile, "utf8") }),
    ...(KeyFile && { key: await readFile(KeyFile, "utf8") }),
  };
}

/** `unix:///run/x.sock`, `tcp://host:port`, `http://…`, `https://…`. */
function parseAddress(address: string, tls: PluginTls | undefined): PluginEndpoint {
  const scheme = /^([a-z]+):\/\//.exec(address)?.[1];
  if (scheme === undefined) throw new Error(`unknown protocol: ${JSON.stringify(address)}`);
  if (scheme === "unix") {
    const socket = address.slice("unix://".length);
    if (!socket.startsWith("/")) throw new Error(`${address}: the socket's path must be absolute`);
    return { kind: "unix", socket };
  }
  if (!["tcp", "http", "https"].includes(scheme)) throw new Error(`unknown protocol: ${scheme}`);
  // Whoever writes a TLSConfig wants TLS.
  const isTls = scheme === "https" || (scheme === "tcp" && tls !== undefined);
  const { host } = new URL(address.replace(/^tcp:/, "http:"));
  return { kind: "tcp", url: `${isTls ? "https" : "http"}://${host}`, ...(isTls && { tls: tls ?? { verify: true } }) };
}
