/** Certificates for tests, made with openssl: an authority, a server on the loopback and a client. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Pair {
  cert: string;
  key: string;
}

export interface TestCertificates {
  /** PEM of the authority. */
  authority: string;
  server: Pair;
  client: Pair;
}

export function makeCertificates(directory: string): TestCertificates {
  mkdirSync(directory, { recursive: true });
  const path = (name: string) => join(directory, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", path("ca.key"), "-out", path("ca.crt"), "-days", "1", "-subj", "/CN=CA");
  writeFileSync(path("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.example");
  const pair = (name: string): Pair => {
    const [cert, csr] = [path(`${name}.crt`), path(`${name}.csr`)];
    openssl("req", ...key, "-keyout", path(`${name}.key`), "-out", csr, "-subj", `/CN=${name}`);
    const signing = ["-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-CAcreateserial", "-extfile", path("names")];
    openssl("x509", "-req", "-in", csr, ...signing, "-days", "1", "-out", cert);
    return { cert: readFileSync(cert, "utf8"), key: readFileSync(path(`${name}.key`), "utf8") };
  };
  return { authority: readFileSync(path("ca.crt"), "utf8"), server: pair("server"), client: pair("client") };
}

function openssl(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`openssl ${args[0]}: ${stderr.toString()}`);
}
