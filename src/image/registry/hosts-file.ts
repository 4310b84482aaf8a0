/**
 * hosts.toml, containerd's file about a registry (its documentation, "Registry Configuration"): which hosts are asked
 * in its place, for what, and how they are trusted. It lies in `certs.d/HOST/`, or for all others in
 * `certs.d/_default/`.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { parseGoDuration } from "../../core/go-duration.ts";
import { type ClientCertificate, hostDirectoryNames, readAuthorities, readClientCertificate } from "./certificates.ts";

/** What a host is asked for: names into digests, content, or to take content. */
export type Capability = "pull" | "resolve" | "push";

export interface HostSettings {
  /** Undefined where the file does not say. */
  capabilities: ReadonlySet<Capability> | undefined;
  authorities: string[];
  client: ClientCertificate | undefined;
  skipVerify: boolean;
  /** Sent with each request to that host. */
  headers: Record<string, string>;
  /** The URL's path is the whole path: no `/v2` is put behind it. */
  overridePath: boolean;
  /** How long a connection may take. */
  dialTimeoutMs: number | undefined;
}

export interface ConfiguredHost {
  /** `https://mirror.example:5000/v2`: what `/NAME/…` is put behind. */
  apiUrl: string;
  settings: HostSettings;
}

export interface HostsFile {
  path: string;
  /** Asked first, in their order. */
  hosts: ConfiguredHost[];
  /** Where the registry itself is; undefined: under its own name. */
  server: string | undefined;
  /** The settings outside of any host's table, which are the server's. */
  serverSettings: HostSettings;
}

/**
 * What an administrator says about a registry, from the first directory that has something about it, and then from the
 * first that has something about all.
 * @throws EngineError invalid_argument that names the file and the field.
 */
export function readHostsFile(registry: string, directories: readonly string[]): HostsFile | undefined {
  const named = directories.flatMap((root) => hostDirectoryNames(registry).map((name) => join(root, name)));
  const candidates = [...named, ...directories.map((root) => join(root, "_default"))];
  const path = candidates.map((directory) => join(directory, "hosts.toml")).find((file) => existsSync(file));
  return path === undefined ? undefined : parseHostsFile(readFileSync(path, "utf8"), path);
}

/** @throws EngineError invalid_argument that names the file and the field. */
export function parseHostsFile(text: string, path: string): HostsFile {
  const root = new Table(parseToml(text, path), path, "");
  const hosts = root.table("host");
  return {
    path,
    hosts: Object.keys(hosts.values).map((url) => {
      const settings = readSettings(hosts.table(url));
      return { apiUrl: apiUrl(url, settings.overridePath, `${path}: host.${JSON.stringify(url)}`), settings };
    }),
    ...readServer(root),
  };
}

function readServer(root: Table): Pick<HostsFile, "server" | "serverSettings"> {
  const serverSettings = readSettings(root);
  const server = root.text("server");
  if (server === undefined || server === "") return { server: undefined, serverSettings };
  return { server: apiUrl(server, serverSettings.overridePath, `${root.path}: server`), serverSettings };
}

function parseToml(text: string, path: string): unknown {
  try {
    return Bun.TOML.parse(text);
  } catch (error) {
    throw new EngineError("invalid_argument", `${path}: no TOML: ${errorMessage(error)}`, { path, cause: error });
  }
}

function apiUrl(text: string, overridePath: boolean, where: string): string {
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  const isPlain = url && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (!isPlain || !["http:", "https:"].includes(url.protocol)) {
    throw new EngineError("invalid_argument", `${where}: ${JSON.stringify(text)} is no http or https URL`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  return `${url.origin}${overridePath || path.endsWith("/v2") ? path : `${path}/v2`}`;
}

function readSettings(table: Table): HostSettings {
  const authorities = table.texts("ca").map((name) => table.file("ca", name, readAuthorities));
  return {
    capabilities: readCapabilities(table),
    authorities,
    client: readClient(table),
    skipVerify: table.flag("skip_verify"),
    headers: readHeaders(table.table("header")),
    overridePath: table.flag("override_path"),
    dialTimeoutMs: readDuration(table),
  };
}

function readCapabilities(table: Table): HostSettings["capabilities"] {
  if (table.values.capabilities === undefined) return undefined;
  return new Set(
    table.texts("capabilities").map((name): Capability => {
      if (name === "pull" || name === "resolve" || name === "push") return name;
      throw table.invalid("capabilities", `unknown capability ${JSON.stringify(name)}`);
    }),
  );
}

/** One file with certificate and key, or pairs of files: `"a.pem"`, `["a.pem"]`, `[["a.cert", "a.key"]]`. */
function readClient(table: Table): ClientCertificate | undefined {
  const value = table.values.client;
  if (value === undefined) return undefined;
  const items: unknown[] = Array.isArray(value) ? value : [value];
  const [first] = items.map((item) => {
    const [cert, key = "", ...more] = Array.isArray(item) ? (item as unknown[]) : [item];
    if (typeof cert !== "string" || typeof key !== "string" || more.length > 0) {
      throw table.invalid("client", "neither a file nor a list of pairs of files");
    }
    const keyPath = key === "" ? undefined : table.resolve(key);
    return table.file("client", cert, (path) => readClientCertificate(path, keyPath));
  });
  return first;
}

function readHeaders(table: Table): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of Object.keys(table.values)) {
    const value = table.texts(name).join(", ");
    const isHeader = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
    if (!isHeader) throw table.invalid(name, "no HTTP header");
    headers[name.toLowerCase()] = value;
  }
  return headers;
}

function readDuration(table: Table): number | undefined {
  const text = table.text("dial_timeout");
  if (text === undefined) return undefined;
  const duration = parseGoDuration(text);
  if (duration !== undefined && duration > 0) return duration;
  throw table.invalid("dial_timeout", `${JSON.stringify(text)} is no duration as "2s"`);
}

/** A table of the file, whose fields are of the types that they should be, or named in an error. */
class Table {
  readonly values: Record<string, unknown>;
  readonly path: string;
  readonly #name: string;

  constructor(value: unknown, path: string, name: string) {
    this.path = path;
    this.#name = name;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new EngineError("invalid_argument", `${path}: ${name}: no table`, { path });
    }
    this.values = value as Record<string, unknown>;
  }

  table(name: string): Table {
    return new Table(this.values[name] ?? {}, this.path, this.#qualified(name));
  }

  text(name: string): string | undefined {
    const value = this.values[name];
    if (value === undefined || typeof value === "string") return value;
    throw this.invalid(name, "no string");
  }

  texts(name: string): string[] {
    const value = this.values[name] ?? [];
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (list.every((item) => typeof item === "string")) return list;
    throw this.invalid(name, "neither a string nor a list of strings");
  }

  flag(name: string): boolean {
    const value = this.values[name] ?? false;
    if (typeof value === "boolean") return value;
    throw this.invalid(name, "neither true nor false");
  }

  /** Relative paths start at the file's own directory. */
  resolve(name: string): string {
    return resolve(dirname(this.path), name);
  }

  file<T>(field: string, name: string, read: (path: string) => T): T {
    try {
      return read(this.resolve(name));
    } catch (error) {
      throw this.invalid(field, errorMessage(error));
    }
  }

  invalid(name: string, reason: string): EngineError {
    return new EngineError("invalid_argument", `${this.path}: ${this.#qualified(name)}: ${reason}`, {
      path: this.path,
    });
  }

  #qualified(name: string): string {
    const key = /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
    return this.#name === "" ? key : `${this.#name}.${key}`;
  }
}
