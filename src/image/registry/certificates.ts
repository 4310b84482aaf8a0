/**
 * Whom to trust and who to be, per registry: the `certs.d` directories of docker (dockerd's documentation, "Verify
 * repository client with certificates") and the files that a hosts.toml names.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { EngineError, errorMessage, isErrno, wrapError } from "../../core/errors.ts";

/** tsd's own directory, and docker's: what is set up for the one need not be set up again. */
export const defaultCertificateDirectories = ["/etc/tsd/certs.d", "/etc/docker/certs.d"];

export interface ClientCertificate {
  /** PEM. */
  cert: string;
  key: string;
}

export interface HostCertificates {
  /** PEM, trusted beside the system's. */
  authorities: string[];
  /** Which to show a server that asks. */
  client?: ClientCertificate | undefined;
}

/** The names that a host's directory may have: `host:port`, or as containerd has it where colons are unwelcome `host_port_`. */
export function hostDirectoryNames(host: string): string[] {
  const other = host.replace(/:(\d+)$/, "_$1_");
  const names = other === host ? [host] : [other, host];
  // A redirect may lead to a host of any name.
  return names.filter((name) => !name.includes("/") && name !== "." && name !== "..");
}

/**
 * What the directories hold for `host:port`: every `*.crt` is an authority, `NAME.cert` with `NAME.key` a client's own.
 * @throws EngineError invalid_argument that names the file that is none.
 */
export function hostCertificates(host: string, directories: readonly string[]): HostCertificates {
  const found: HostCertificates = { authorities: [] };
  for (const root of directories) {
    for (const name of hostDirectoryNames(host)) {
      const { authorities, client } = readDirectory(join(root, name));
      found.authorities.push(...authorities);
      found.client ??= client;
    }
  }
  return found;
}

function readDirectory(directory: string): HostCertificates {
  const names = entries(directory);
  const found: HostCertificates = { authorities: [] };
  for (const name of names) {
    const path = join(directory, name);
    if (name.endsWith(".crt")) found.authorities.push(readAuthorities(path));
    else if (name.endsWith(".cert")) {
      const key = path.replace(/\.cert$/, ".key");
      if (!names.includes(name.replace(/\.cert$/, ".key"))) {
        throw invalid(
          path,
          `missing key ${key} for client certificate: the certificates of authorities have names that end in .crt`,
        );
      }
      const client = readClientCertificate(path, key);
      found.client ??= client;
    } else if (name.endsWith(".key") && !names.includes(name.replace(/\.key$/, ".cert"))) {
      throw invalid(path, `missing client certificate ${path.replace(/\.key$/, ".cert")} for key`);
    }
  }
  return found;
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw wrapError(error, `read ${directory}`);
  }
}

/** @throws EngineError invalid_argument. */
export function readAuthorities(path: string): string {
  const text = readFile(path);
  const blocks = pemBlocks(text);
  if (blocks.length === 0) throw invalid(path, "holds no certificate in PEM form");
  for (const block of blocks) parseCertificate(path, block);
  return text;
}

/** @param keyPath absent: the key is in the same file. @throws EngineError invalid_argument. */
export function readClientCertificate(path: string, keyPath: string = path): ClientCertificate {
  const cert = readFile(path);
  const [block] = pemBlocks(cert);
  if (block === undefined) throw invalid(path, "holds no certificate in PEM form");
  const certificate = parseCertificate(path, block);
  const key = readFile(keyPath);
  try {
    if (!certificate.checkPrivateKey(createPrivateKey(key))) throw new Error(`is not the key of ${path}`);
  } catch (error) {
    throw invalid(keyPath, `private key: ${errorMessage(error)}`);
  }
  return { cert, key };
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new EngineError("invalid_argument", `read ${path}: ${errorMessage(error)}`, { path, cause: error });
  }
}

function pemBlocks(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

function parseCertificate(path: string, block: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (error) {
    throw invalid(path, `certificate: ${errorMessage(error)}`);
  }
}

function invalid(path: string, reason: string): EngineError {
  return new EngineError("invalid_argument", `${path}: ${reason}`, { path });
}

/** Where distributions keep what their administrators trust, in the order in which Go looks for it. */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

let systemAuthorities: string | undefined;
/** One text for each set, so that its parsed form is found again. */
const bundles = new Map<string, string>();

/** PEM of all that is trusted: the system's authorities, or where it has none those that Bun brings, and these. */
export function trustedAuthorities(own: readonly string[]): string {
  systemAuthorities ??= readSystemAuthorities();
  const extra = own.join("\n");
  if (extra === "") return systemAuthorities;
  let bundle = bundles.get(extra);
  if (bundle === undefined) {
    if (bundles.size > 64) bundles.clear();
    bundle = `${systemAuthorities}\n${extra}`;
    bundles.set(extra, bundle);
  }
  return bundle;
}

function readSystemAuthorities(): string {
  const path = process.env.SSL_CERT_FILE || systemBundles.find((candidate) => existsSync(candidate));
  return path === undefined ? rootCertificates.join("\n") : readFile(path);
}
