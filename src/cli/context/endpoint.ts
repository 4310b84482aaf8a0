/** What a context says of a daemon: its address, and the files of TLS. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { type DaemonAddress, hostOf, parseHost } from "../../client/host.ts";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";
import { defaultEndpoint, type Surroundings } from "./current.ts";
import {
  ContextStore,
  defaultContext,
  dockerEndpoint,
  type EndpointMeta,
  type StoredContext,
  type TlsMaterial,
} from "./store.ts";

export interface Endpoint {
  meta: EndpointMeta;
  /** `ca.pem`, `cert.pem`, `key.pem`: those that there are. */
  files: Record<string, Uint8Array>;
}

/** What stands for the words "the daemon that the command line and the environment name". */
export const defaultDescription = "Current DOCKER_HOST based configuration";

/** @throws EngineError not_found where the context has no daemon of docker's kind. */
export function addressOf({ meta, tls }: StoredContext, name: string): DaemonAddress {
  const endpoint = meta.Endpoints[dockerEndpoint];
  if (!endpoint) throw new EngineError("not_found", `context ${JSON.stringify(name)}: no docker endpoint in it`);
  return endpointAddress({ meta: endpoint, files: tls[dockerEndpoint] ?? {} });
}

/** @throws EngineError for an address that is none. */
export function endpointAddress({ meta, files }: Endpoint): DaemonAddress {
  const isTls = Object.keys(files).length > 0 || meta.SkipTLSVerify === true;
  const text = (name: string) => (files[name] ? Buffer.from(files[name]).toString() : undefined);
  const [ca, cert, key] = [text("ca.pem"), text("cert.pem"), text("key.pem")];
  const material = {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    verify: !meta.SkipTLSVerify,
  };
  return parseHost(meta.Host || hostOf([], {}, isTls), isTls ? material : undefined);
}

/** A context that is there, or the default one, which is in no file. */
export function readContext(surroundings: Surroundings, name: string): StoredContext {
  if (name !== defaultContext) return new ContextStore(surroundings.configDirectory).read(name);
  const { host, tls } = defaultEndpoint(surroundings);
  const named = { "ca.pem": tls?.ca, "cert.pem": tls?.cert, "key.pem": tls?.key };
  const files = Object.entries(named).flatMap(([file, text]): [string, Uint8Array][] =>
    text === undefined ? [] : [[file, Buffer.from(text)]],
  );
  return {
    meta: {
      Name: defaultContext,
      Metadata: {},
      Endpoints: { [dockerEndpoint]: { Host: host, SkipTLSVerify: tls !== undefined && !tls.verify } },
    },
    tls: files.length > 0 ? { [dockerEndpoint]: Object.fromEntries(files) } : {},
  };
}

const keys = new Set(["from", "host", "ca", "cert", "key", "skip-tls-verify"]);

/**
 * What `--docker host=…,ca=…` describes. @throws EngineError in docker's words.
 * @param settings by their names.
 */
export function endpointOf(settings: Record<string, string>, surroundings: Surroundings): Endpoint {
  try {
    for (const key of Object.keys(settings)) {
      if (!keys.has(key)) throw new EngineError("invalid_argument", `unrecognized config key: ${key}`);
    }
    if (settings.from !== undefined) return copiedEndpoint(settings.from, surroundings);
    const named = { "ca.pem": settings.ca, "cert.pem": settings.cert, "key.pem": settings.key };
    const files = Object.entries(named).flatMap(([file, path]): [string, Uint8Array][] =>
      path ? [[file, fileAt(path)]] : [],
    );
    const skips = skipsVerification(settings["skip-tls-verify"]);
    const endpoint = {
      meta: { Host: settings.host ?? "", SkipTLSVerify: skips },
      files: Object.fromEntries(files),
    };
    checkMaterial(endpoint.files);
    checkHost(endpoint);
    return endpoint;
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError(error.code, `unable to create docker endpoint config: ${error.message}`, { cause: error });
  }
}

function copiedEndpoint(name: string, surroundings: Surroundings): Endpoint {
  const { meta, tls } = readContext(surroundings, name);
  const endpoint = meta.Endpoints[dockerEndpoint];
  if (!endpoint) throw new EngineError("not_found", `unable to get endpoint from context ${JSON.stringify(name)}`);
  return { meta: endpoint, files: tls[dockerEndpoint] ?? {} };
}

/** What cannot be used is said when a context is made, not whenever one is used. */
function checkMaterial({ "ca.pem": ca, "cert.pem": cert, "key.pem": key }: Record<string, Uint8Array>): void {
  const readable = <T>(read: () => T, reason: string): T => {
    try {
      return read();
    } catch (cause) {
      throw new EngineError("invalid_argument", `invalid docker endpoint options: ${reason}`, { cause });
    }
  };
  if (ca) readable(() => new X509Certificate(ca), "failed to retrieve context tls info: ca.pem seems invalid");
  const secret = key && readable(() => createPrivateKey(Buffer.from(key)), "no valid private key found");
  if (!cert || !secret) return;
  const certificate = readable(() => new X509Certificate(cert), "cert.pem: no certificate in it");
  if (!certificate.checkPrivateKey(secret)) {
    const reason = "failed to retrieve context tls info: tls: private key does not match public key";
    throw new EngineError("invalid_argument", `invalid docker endpoint options: ${reason}`);
  }
}

/** A context may name what other clients reach, through ssh. */
function checkHost(endpoint: Endpoint): void {
  if (endpoint.meta.Host?.startsWith("ssh://")) return;
  try {
    endpointAddress(endpoint);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    const message = `unable to apply docker endpoint options: ${error.message}`;
    throw new EngineError(error.code, message, { cause: error });
  }
}

function fileAt(path: string): Uint8Array {
  try {
    return readFileSync(path.replace(/^~(?=\/)/, process.env.HOME || homedir()));
  } catch (error) {
    const reason = isErrno(error, "ENOENT") ? `open ${path}: no such file or directory` : errorMessage(error);
    throw new EngineError("not_found", reason, { path, cause: error });
  }
}

function skipsVerification(text: string | undefined): boolean {
  if (text === undefined) return false;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  throw new EngineError("invalid_argument", `skip-tls-verify: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** Of a context's one endpoint. */
export function materialOf(endpoint: Endpoint): TlsMaterial {
  return Object.keys(endpoint.files).length > 0 ? { [dockerEndpoint]: endpoint.files } : {};
}
