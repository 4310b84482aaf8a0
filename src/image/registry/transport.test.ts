import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, connect as netConnect, type Server } from "node:net";
import { join } from "node:path";
import { isEngineError } from "../../core/errors.ts";
import { bodyOf } from "./authorization.ts";
import { dial } from "./dial.ts";
import { TestRegistry } from "./hostile-registry.ts";
import { makeCertificates, type TestCertificates } from "./tls-fixture.ts";
import { type RegistryRequest, send, type TransportOptions } from "./transport.ts";

let root: string;
let pki: TestCertificates;
let registry: TestRegistry;
let options: TransportOptions;

beforeAll(() => {
  root = mkdtempSync("/tmp/tsd-transport-");
  pki = makeCertificates(join(root, "pki"));
});
afterAll(() => rmSync(root, { recursive: true }));
beforeEach(() => {
  options = { stallTimeoutMs: 300, certificateDirectories: [], proxies: {} };
});
afterEach(() => registry?.stop());

async function failure(promise: Promise<unknown>): Promise<{ code: string; message: string; hint?: string }> {
  try {
    await promise;
  } catch (error) {
    if (!isEngineError(error)) throw error;
    return { code: error.code, message: error.message, ...(error.hint !== undefined && { hint: error.hint }) };
  }
  throw new Error("it did not fail");
}

async function status(request: Partial<RegistryRequest>, path = "/ok"): Promise<number> {
  const url = request.url ?? `https://${registry.host}${path}`;
  const response = await send({ isInsecure: false, ...request, url }, options);
  await response.discard();
  return response.status;
}

describe("HTTPS", () => {
  beforeEach(() => {
    registry = new TestRegistry({ cert: pki.server.cert, key: pki.server.key });
    registry.misbehave = () => new Response("fine");
  });

  test("to a server whose authority nobody knows is refused, with the place to put its certificate", async () => {
    expect(await failure(status({}))).toEqual({
      code: "unavailable",
      message: `Get "https://${registry.host}/ok": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
      hint: `put the certificate of the authority that signed it into /etc/tsd/certs.d/${registry.host}/ca.crt`,
    });
    expect(registry.seen).toEqual([]);
  });

  test("trusts the authorities in the host's directory, and those that come with the request", async () => {
    mkdirSync(join(root, "certs.d", registry.host), { recursive: true });
    writeFileSync(join(root, "certs.d", registry.host, "ca.crt"), pki.authority);
    expect(await status({ authorities: [pki.authority] })).toBe(200);
    expect((await failure(status({}))).code).toBe("unavailable"); // no connection of before is taken for it
    options = { ...options, certificateDirectories: [join(root, "certs.d")] };
    expect(await status({})).toBe(200);
  });

  test("goes to an unverified server where that is allowed, and not on to another one by redirect", async () => {
    expect(await status({ isInsecure: true })).toBe(200);
    const other = new TestRegistry({ cert: pki.server.cert, key: pki.server.key });
    registry.misbehave = () => new Response(null, { status: 307, headers: { location: `https://${other.host}/` } });
    expect((await failure(status({ isInsecure: true }))).message).toContain("unknown authority");
    await other.stop();
  });

  test("is not given up for HTTP by a redirect, not even to an insecure registry", async () => {
    registry.misbehave = () => new Response(null, { status: 307, headers: { location: "http://127.0.0.1:1/" } });
    const { host } = registry;
    expect(await failure(status({ isInsecure: true }))).toEqual({
      code: "unavailable",
      message: `Get "https://${host}/ok": redirected from https://${host} to http://127.0.0.1:1, which is not secure`,
    });
  });

  test("shows the client's certificate to who asks for one", async () => {
    await registry.stop();
    registry = new TestRegistry({
      cert: pki.server.cert,
      key: pki.server.key,
      ca: pki.authority,
      requestCert: true,
      rejectUnauthorized: true,
    });
    registry.misbehave = () => new Response("fine");
    const authorities = [pki.authority];
    expect((await failure(status({ authorities }))).code).toBe("unavailable");
    expect(await status({ authorities, client: pki.client })).toBe(200);
    expect(registry.seen).toHaveLength(1);
  });
});

describe("what is sent", () => {
  beforeEach(() => {
    registry = new TestRegistry();
  });
  const url = () => `http://${registry.host}/take`;

  test("has its length, and is sent again where the server redirects with 307", async () => {
    const got: string[] = [];
    registry.misbehave = async (request, { pathname }) => {
      const body = await request.text();
      got.push(`${pathname} ${request.headers.get("content-length")} ${body}`);
      if (pathname === "/take") return new Response(null, { status: 307, headers: { location: "/there" } });
      return new Response(null, { status: 201 });
    };
    expect(await status({ url: url(), method: "PUT", body: bodyOf(Buffer.from("content")) })).toBe(201);
    expect(got).toEqual(["/take 7 content", "/there 7 content"]);
  });

  test("is not turned into a GET by a redirect of another kind", async () => {
    registry.misbehave = () => new Response(null, { status: 302, headers: { location: "/there" } });
    const failed = await failure(status({ url: url(), method: "PUT", body: bodyOf(Buffer.from("x")) }));
    expect(failed.message).toContain("redirected with status 302, which says to drop what is sent");
    expect(registry.seen).toHaveLength(1);
  });

  test("may take as long as it likes, if the server takes it; silence ends it, and patience delays that", async () => {
    registry.misbehave = async (request) => {
      await request.text();
      await Bun.sleep(450);
      return new Response(null, { status: 201 });
    };
    const slow = async function* () {
      for (const piece of ["a", "b", "c", "d"]) {
        await Bun.sleep(150);
        yield Buffer.from(piece);
      }
    };
    const request = { url: url(), method: "PUT" as const, body: { size: 4, open: slow } };
    expect(await status({ ...request, patience: 3 })).toBe(201);
    expect((await failure(status(request))).message).toContain("no data for 0.3 seconds");
  });

  test("that cannot be read is the error", async () => {
    registry.misbehave = async (request) => new Response(await request.text());
    const open = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from("a");
      throw new Error("disk on fire");
    };
    expect((await failure(status({ url: url(), method: "PUT", body: { size: 4, open } }))).message).toContain(
      "disk on fire",
    );
  });
});

describe("a proxy", () => {
  let proxy: Server;
  let seen: string[];
  let refuses: boolean;
  /** Where tunnels end in truth. */
  let leadsTo: [host: string, port: number] | undefined;

  beforeEach(async () => {
    seen = [];
    refuses = false;
    leadsTo = undefined;
    proxy = createServer((client) => {
      client.on("error", () => client.destroy());
      client.once("data", (data) => {
        const [line = "", ...headers] = data.toString().split("\r\n");
        const authorization = headers.find((header) => /^proxy-authorization:/i.test(header)) ?? "";
        seen.push(`${line} ${authorization}`.trim());
        if (refuses) return client.end("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
        if (!line.startsWith("CONNECT ")) return client.end("HTTP/1.1 204 No Content\r\n\r\n");
        const [host = "", port = ""] = line.split(" ")[1]!.split(":");
        const [toHost, toPort] = leadsTo ?? [host, Number(port)];
        const server = netConnect(toPort, toHost, () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
        server.on("error", () => client.destroy());
        client.pipe(server).pipe(client);
        return undefined;
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const { port } = proxy.address() as AddressInfo;
    // Nothing here is about silence.
    options = {
      ...options,
      stallTimeoutMs: 20_000,
      proxies: { http: `http://127.0.0.1:${port}/`, https: `http://u:p@127.0.0.1:${port}/` },
    };
  });
  afterEach(() => proxy.close());

  test("gets requests by HTTP whole, and only those that it is for", async () => {
    registry = new TestRegistry();
    registry.misbehave = () => new Response("fine");
    expect(await status({ url: "http://registry.example/v2/" })).toBe(204);
    expect(seen).toEqual([expect.stringMatching(/^GET http:\/\/registry\.example\/v2\/ HTTP\/1\.1$|^GET \/v2\/ /)]);
    expect(await status({ url: `http://${registry.host}/direct` })).toBe(200);
    expect(seen).toHaveLength(1);
  });

  test("is a tunnel for HTTPS, whose far end is verified; it gets its own password", async () => {
    expect((await failure(status({ url: "https://registry.example:1/" }))).message).toStartWith(
      'Get "https://registry.example:1/": through proxy 127.0.0.1:',
    );
    expect(seen).toEqual([`CONNECT registry.example:1 HTTP/1.1 Proxy-Authorization: Basic ${btoa("u:p")}`]);
  });

  test("leads to a server that is verified by its own name, and that sees the client's certificate", async () => {
    registry = new TestRegistry({
      cert: pki.server.cert,
      key: pki.server.key,
      ca: pki.authority,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const got: string[] = [];
    registry.misbehave = async (request) => {
      got.push(`${request.method} ${request.headers.get("proxy-authorization")} ${await request.text()}`);
      return new Response("fine");
    };
    const [host, port] = registry.host.split(":") as [string, string];
    leadsTo = [host, Number(port)];
    const url = "https://registry.example/v2/";
    const authorities = [pki.authority];
    expect((await failure(status({ url }))).message).toContain("signed by unknown authority");
    const named = await failure(status({ url: "https://other.example/", authorities, client: pki.client }));
    expect(named.message).toContain("certificate is valid for other names");
    const body = bodyOf(Buffer.from("content"));
    expect(await status({ url, authorities, client: pki.client })).toBe(200);
    expect(await status({ url, authorities, client: pki.client, method: "PUT", body })).toBe(200);
    expect(got).toEqual(["GET null ", "PUT null content"]);
    expect(new Set(seen.map((line) => line.split(" ")[1]))).toEqual(
      new Set(["registry.example:443", "other.example:443"]),
    );
  });

  test("that refuses, or is not there, is named", async () => {
    refuses = true;
    const failed = await failure(status({ url: "https://registry.example/" }));
    expect(failed.message).toContain("through proxy 127.0.0.1:");
    expect(failed.message).not.toContain("u:p");
    options = { ...options, proxies: { http: "http://127.0.0.1:1/" } };
    expect((await failure(status({ url: "http://registry.example/" }))).message).toBe(
      'Get "http://registry.example/": through proxy 127.0.0.1:1: connect: connection refused',
    );
  });
});

describe("dialling", () => {
  test("finds out who listens, and gives up in time or when told to", async () => {
    registry = new TestRegistry();
    const proxies = {};
    await dial(new URL(`http://${registry.host}/v2`), 1000, { proxies });
    expect((await failure(dial(new URL("http://127.0.0.1:1"), 1000, { proxies }))).message).toMatch(/^dial 127\.0/);
    // Of the network for documentation: nothing answers, or there is no way to it.
    const nowhere = new URL("http://192.0.2.1:9");
    expect((await failure(dial(nowhere, 50, { proxies }))).code).toBe("unavailable");
    const signal = AbortSignal.abort();
    expect((await failure(dial(nowhere, 5000, { proxies, signal }))).code).toBe("cancelled");
  });
});
