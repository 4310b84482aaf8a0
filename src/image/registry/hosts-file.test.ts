import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostCertificates } from "./certificates.ts";
import { registryHosts } from "./hosts.ts";
import { parseHostsFile } from "./hosts-file.ts";
import { makeCertificates, type TestCertificates } from "./tls-fixture.ts";

let root: string;
let pki: TestCertificates;
beforeAll(() => {
  root = mkdtempSync("/tmp/tsd-hosts-");
  pki = makeCertificates(join(root, "pki"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** A directory of configuration with these files in it. */
function directory(files: Record<string, string>): string {
  const path = mkdtempSync(join(root, "certs.d-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(path, name, ".."), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}

function urls(registry: string, directories: string[], need: "pull" | "resolve" | "push" = "pull"): string[] {
  return registryHosts(registry, { certificateDirectories: directories }, need).map(({ apiUrl }) => apiUrl);
}

describe("hosts.toml", () => {
  test("names mirrors, each for what it can do, and the server behind them", () => {
    const path = directory({
      "registry.example/hosts.toml": `
        server = "https://origin.example"
        [host."https://all.example"]
        [host."http://resolver.example:5000/prefix"]
        capabilities = ["resolve", "pull"]
        [host."https://writer.example/v2/mirror"]
        capabilities = ["pull", "push"]
        override_path = true
        [host."bare.example"]
        capabilities = ["pull"]
      `,
    });
    expect(urls("registry.example", [path])).toEqual([
      "https://all.example/v2",
      "http://resolver.example:5000/prefix/v2",
      "https://writer.example/v2/mirror",
      "https://bare.example/v2",
      "https://origin.example/v2",
    ]);
    expect(urls("registry.example", [path], "resolve")).toEqual([
      "https://all.example/v2",
      "http://resolver.example:5000/prefix/v2",
      "https://origin.example/v2",
    ]);
    expect(urls("registry.example", [path], "push")).toEqual([
      "https://writer.example/v2/mirror",
      "https://origin.example/v2",
    ]);
    expect(urls("other.example", [path])).toEqual(["https://other.example/v2"]);
  });

  test("is looked for under the registry's name first, in each directory, and then under _default", () => {
    const first = directory({ "_default/hosts.toml": '[host."https://default.example"]' });
    const second = directory({ "registry.example_5000_/hosts.toml": '[host."https://named.example"]' });
    expect(urls("registry.example:5000", [first, second])).toEqual([
      "https://named.example/v2",
      "https://registry.example:5000/v2",
    ]);
    expect(urls("docker.io", [first, second])).toEqual([
      "https://default.example/v2",
      "https://registry-1.docker.io/v2",
    ]);
  });

  test("says how a host is to be spoken to, and a mirror that it is one", () => {
    const path = directory({
      "registry.example/hosts.toml": `
        ca = "../ca.pem"
        [host."https://mirror.example"]
        ca = ["../ca.pem"]
        client = [["../client.cert", "../client.key"]]
        skip_verify = true
        dial_timeout = "1.5s"
        [host."https://mirror.example".header]
        X-One = "a"
        x-two = ["b", "c"]
      `,
      "ca.pem": pki.authority,
      "client.cert": pki.client.cert,
      "client.key": pki.client.key,
    });
    const [mirror, own] = registryHosts("registry.example", { certificateDirectories: [path] }, "pull");
    expect(mirror).toEqual({
      apiUrl: "https://mirror.example/v2",
      isInsecure: true,
      isMirror: true,
      namespace: "registry.example",
      authorities: [pki.authority],
      client: pki.client,
      headers: { "x-one": "a", "x-two": "b, c" },
      dialTimeoutMs: 1500,
    });
    expect(own).toMatchObject({ isInsecure: false, isMirror: false, authorities: [pki.authority], headers: {} });
  });

  test.each([
    ["server = [", /^\/c\/hosts\.toml: no TOML: /],
    ["server = 5", /^\/c\/hosts\.toml: server: no string$/],
    ['server = "ftp://x"', /^\/c\/hosts\.toml: server: "ftp:\/\/x" is no http or https URL$/],
    ['host = "x"', /^\/c\/hosts\.toml: host: no table$/],
    ['[host."https://u:p@x"]', /host\."https:\/\/u:p@x": "https:\/\/u:p@x" is no http/],
    ['[host."x"]\ncapabilities = ["write"]', /: host\.x\.capabilities: unknown capability "write"$/],
    ['[host."x"]\ncapabilities = true', /capabilities: neither a string nor a list of strings$/],
    ['[host."x"]\nskip_verify = "yes"', /skip_verify: neither true nor false$/],
    ['[host."x"]\ndial_timeout = "soon"', /dial_timeout: "soon" is no duration/],
    ['[host."x"]\nca = "/nowhere.pem"', /: host\.x\.ca: read \/nowhere\.pem: ENOENT/],
    ['[host."x"]\nca = "/etc/hostname"', /host\.x\.ca: \/etc\/hostname: holds no certificate in PEM form$/],
    ['[host."x"]\nclient = [["a", "b", "c"]]', /client: neither a file nor a list of pairs of files$/],
    ['[host."x".header]\n"a b" = "c"', /host\.x\.header\."a b": no HTTP header$/],
    ['[host."x".header]\na = "c\\nd"', /host\.x\.header\.a: no HTTP header$/],
  ])("%j is refused by its field", (text, message) => {
    expect(() => parseHostsFile(text, "/c/hosts.toml")).toThrow(message);
  });
});

describe("certs.d", () => {
  test("has the authorities and the client's certificate of a host, in any of its directories", () => {
    const { authority, client } = pki;
    const first = directory({ "r.example:5000/ca.crt": authority });
    const second = directory({
      "r.example_5000_/more.crt": authority,
      "r.example:5000/client.cert": client.cert,
      "r.example:5000/client.key": client.key,
      "r.example:5000/README": "",
    });
    expect(hostCertificates("r.example:5000", [first, second])).toEqual({
      authorities: [authority, authority],
      client,
    });
    expect(hostCertificates("r.example", [first, second])).toEqual({ authorities: [] });
    expect(hostCertificates("..", [join(first, "r.example:5000", "sub")])).toEqual({ authorities: [] });
  });

  test("with half a pair, the key of another, or nonsense is refused by the file's name", () => {
    const read = (files: Record<string, string>) => () => hostCertificates("h", [directory(files)]);
    const { client, server, authority } = pki;
    expect(read({ "h/a.cert": client.cert })).toThrow(/h\/a\.cert: missing key \S+h\/a\.key for client certificate/);
    expect(read({ "h/a.key": client.key })).toThrow(/h\/a\.key: missing client certificate \S+h\/a\.cert for key/);
    expect(read({ "h/a.cert": client.cert, "h/a.key": server.key })).toThrow(/a\.key: private key: is not the key of/);
    expect(read({ "h/a.cert": client.cert, "h/a.key": "junk" })).toThrow(/a\.key: private key: /);
    expect(read({ "h/ca.crt": "junk" })).toThrow(/h\/ca\.crt: holds no certificate in PEM form/);
    const damaged = authority.replace(/\n(?!-).{40}/, "\nAAAA");
    expect(read({ "h/ca.crt": damaged })).toThrow(/h\/ca\.crt: certificate: /);
  });
});
