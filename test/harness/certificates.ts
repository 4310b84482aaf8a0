import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "./command.ts";

/** A private certificate authority of a test's own, and what it has signed. Paths of PEM files. */
export interface Certificates {
  ca: string;
  server: { certificate: string; key: string };
  client: { certificate: string; key: string };
}

/**
 * Makes an authority, a server's certificate and a client's, good for a day.
 * @param directory is made.
 * @param addresses that the server is reached at: names or IP addresses.
 */
export async function makeCertificates(directory: string, addresses: readonly string[]): Promise<Certificates> {
  mkdirSync(directory, { recursive: true });
  const ca = { certificate: join(directory, "ca.crt"), key: join(directory, "ca.key") };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const authority = ["-subj", "/CN=authority of a test", "-addext", "basicConstraints=critical,CA:TRUE"];
  await openssl("req", "-x509", ...key, "-keyout", ca.key, "-out", ca.certificate, "-days", "1", ...authority);
  const sign = async (name: string, extensions: string[]) => {
    const path = (suffix: string) => join(directory, `${name}.${suffix}`);
    await openssl("req", ...key, "-keyout", path("key"), "-out", path("csr"), "-subj", `/CN=${name} of a test`);
    await Bun.write(path("ext"), `${extensions.join("\n")}\n`);
    const signed = ["-CA", ca.certificate, "-CAkey", ca.key, "-CAcreateserial", "-extfile", path("ext"), "-days", "1"];
    await openssl("x509", "-req", "-in", path("csr"), "-out", path("cert"), ...signed);
    return { certificate: path("cert"), key: path("key") };
  };
  const names = addresses.map((address) => `${/^[\d.]+$|:/.test(address) ? "IP" : "DNS"}:${address}`);
  return {
    ca: ca.certificate,
    server: await sign("server", [`subjectAltName=${names.join(",")}`, "extendedKeyUsage=serverAuth"]),
    client: await sign("client", ["extendedKeyUsage=clientAuth"]),
  };
}

function openssl(...args: string[]): Promise<string> {
  return succeed(["openssl", ...args]);
}
