/**
 * Which daemon a command speaks to: that of `-H`, of `--context`, of TSD_HOST or DOCKER_HOST, of DOCKER_CONTEXT, of the
 * context in use, and else the one of this host. Loaded by every command: what reads contexts is imported for one.
 */
import { readFileSync } from "../../../ffi/fs.ts";
import { type ClientTls, type DaemonAddress, hostOf, parseHost } from "../../client/host.ts";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";

/** The global flags that say which daemon, and how it is known. */
export interface ConnectionFlags {
  hosts: readonly string[];
  /** "" where none is named. */
  context: string;
  tls: boolean;
  tlsVerify: boolean;
  /** `--tlsverify` was given, be it true or false: that asks for TLS. */
  namesTlsVerify: boolean;
  /** Paths of PEM files; "" for those of the configuration. */
  tlsCa: string;
  tlsCert: string;
  tlsKey: string;
}

export interface Surroundings {
  flags: ConnectionFlags;
  /** Of config.json. */
  configDirectory: string;
  environment: NodeJS.ProcessEnv;
}

/** The name of the variable that sets the host, whatever context is in use; undefined for none. */
export function hostVariable({ TSD_HOST, DOCKER_HOST }: NodeJS.ProcessEnv): string | undefined {
  return TSD_HOST ? "TSD_HOST" : DOCKER_HOST ? "DOCKER_HOST" : undefined;
}

/** @throws EngineError invalid_argument for a host and a context, in docker's words. */
export function currentContext({ flags, configDirectory, environment }: Surroundings): string {
  if (flags.context !== "") {
    if (flags.hosts.length > 0) {
      throw new EngineError("invalid_argument", "conflicting options: cannot specify both --host and --context");
    }
    return flags.context;
  }
  if (flags.hosts.length > 0 || hostVariable(environment) !== undefined) return "default";
  return environment.DOCKER_CONTEXT || configuredContext(configDirectory) || "default";
}

/** The context that `context use` has put into config.json; "" for none. */
function configuredContext(directory: string): string {
  let text: string;
  try {
    text = readFileSync(`${directory}/config.json`, "utf8");
    if (!text.includes('"currentContext"')) return "";
    const { currentContext = "" } = JSON.parse(text) as { currentContext?: unknown };
    return typeof currentContext === "string" ? currentContext : "";
  } catch (error) {
    // Whoever needs more of the file says what is wrong with it.
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES") || error instanceof SyntaxError) return "";
    throw error;
  }
}

/** @throws EngineError for a context that is not there, an address that is none, files that cannot be read. */
export async function daemonAddress(surroundings: Surroundings): Promise<DaemonAddress> {
  const name = currentContext(surroundings);
  if (name === "default") {
    const { host, tls } = defaultEndpoint(surroundings);
    return parseHost(host, tls);
  }
  const { ContextStore } = await import("./store.ts");
  const { addressOf } = await import("./endpoint.ts");
  try {
    return addressOf(new ContextStore(surroundings.configDirectory).read(name), name);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    const message = `failed to initialize: unable to resolve docker endpoint: ${error.message}`;
    throw new EngineError(error.code, message, { cause: error });
  }
}

/** What the command line and the environment say. */
export function defaultEndpoint(surroundings: Surroundings): { host: string; tls?: ClientTls } {
  const { flags, environment } = surroundings;
  const verify = flags.namesTlsVerify ? flags.tlsVerify : Boolean(environment.DOCKER_TLS_VERIFY);
  const isTls = flags.tls || flags.namesTlsVerify || verify || Boolean(environment.DOCKER_TLS);
  const host = hostOf(flags.hosts, environment, isTls);
  return { host, ...(isTls && { tls: tlsOfFiles(surroundings, verify) }) };
}

/** The paths that the global flags have without being given. */
export function tlsFileDefaults(configDirectory: string, environment: NodeJS.ProcessEnv) {
  const directory = environment.DOCKER_CERT_PATH || configDirectory;
  return { ca: `${directory}/ca.pem`, cert: `${directory}/cert.pem`, key: `${directory}/key.pem` };
}

/** An authority there has to be; a certificate of the client's own only where it is named, or lies where it is looked for. */
function tlsOfFiles({ flags, configDirectory, environment }: Surroundings, verify: boolean): ClientTls {
  const defaults = tlsFileDefaults(configDirectory, environment);
  const read = (path: string, isNeeded: boolean): string | undefined => {
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      if (!isNeeded && isErrno(error, "ENOENT")) return undefined;
      const reason = isErrno(error, "ENOENT") ? `open ${path}: no such file or directory` : errorMessage(error);
      throw new EngineError("invalid_argument", `failed to initialize: unable to resolve docker endpoint: ${reason}`, {
        path,
        cause: error,
        hint: "name the files with --tlscacert, --tlscert and --tlskey, or their directory with DOCKER_CERT_PATH",
      });
    }
  };
  const ca = read(flags.tlsCa || defaults.ca, true)!;
  const cert = read(flags.tlsCert || defaults.cert, flags.tlsCert !== "");
  const key = read(flags.tlsKey || defaults.key, flags.tlsKey !== "");
  return { ca, ...(cert !== undefined && { cert }), ...(key !== undefined && { key }), verify };
}
