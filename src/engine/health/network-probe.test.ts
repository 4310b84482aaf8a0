/** Probes over the network, against servers of every temper: here "inside the container" is this process's own network. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Container } from "../container/container.ts";
import { startTicks } from "../container/start.ts";
import { httpProbe, tcpProbe } from "./network-probe.ts";
import { type ProbeOutcome, startProbe } from "./probe.ts";
import { parseHttpTarget, parseTcpTarget } from "./target.ts";

const running = { status: "running", pid: process.pid, pidStartTicks: startTicks(process.pid), startedAt: "" };
const container = { id: "c", state: running } as unknown as Container;

const servers: { stop: (force: boolean) => void }[] = [];
afterAll(() => {
  for (const server of servers) server.stop(true);
});

/** A server that does that with every connection. @returns its port. */
function serve(talk: (socket: Bun.Socket) => void, hostname = "127.0.0.1"): number {
  const ignore = () => undefined;
  const server = Bun.listen({ hostname, port: 0, socket: { open: talk, data: ignore, drain: ignore } });
  servers.push(server);
  return server.port;
}

/** One that answers a request with that, and closes. */
const answering = (text: string) =>
  serve((socket) => {
    socket.write(text.replaceAll("\n", "\r\n"));
    socket.end();
  });

function ask(target: string, timeoutMs = 1000): Promise<ProbeOutcome> {
  return startProbe(httpProbe(container, parseHttpTarget(target)), timeoutMs).outcome;
}

const ok = { exitCode: 0, output: "HTTP/1.1 200 OK" };
const long = "x".repeat(5000);

describe("a web server", () => {
  test.each<[string, string, ProbeOutcome]>([
    ["is healthy with 200", "HTTP/1.1 200 OK\n\nfine", ok],
    ["is healthy with a redirect", "HTTP/1.1 308 \n\n", { exitCode: 0, output: "HTTP/1.1 308 " }],
    ["is healthy after interim answers", "HTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 200 OK\n\n", ok],
    ["is not with 503, which is shown", "HTTP/1.1 503 No\n\ndown", { exitCode: 1, output: "HTTP/1.1 503 No\ndown" }],
    ["is not with 404 without a body", "HTTP/1.0 404 No\n\n", { exitCode: 1, output: "HTTP/1.0 404 No" }],
    [
      "is shown without the lengths of its chunks",
      "HTTP/1.1 500 No\nTransfer-Encoding: gzip, chunked\n\n5\nfirst\n7;a=b\n second\n0\n\n",
      { exitCode: 1, output: "HTTP/1.1 500 No\nfirst second" },
    ],
    [
      "is shown up to a limit",
      `HTTP/1.1 500 No\n\n${long}`,
      { exitCode: 1, output: `HTTP/1.1 500 No\n${long.slice(0, 4080)}...` },
    ],
    [
      "has to speak HTTP",
      "SSH-2.0-x\n",
      { exitCode: -1, output: 'the server answered "SSH-2.0-x\\r\\n", which is not HTTP/1.1' },
    ],
    ["has to answer", "", { exitCode: -1, output: "the server closed the connection without an answer" }],
    [
      "has to end its head",
      "HTTP/1.1 200 OK\nA: b\n",
      { exitCode: -1, output: 'the server closed the connection in the middle of "HTTP/1.1 200 OK\\r\\nA: b\\r\\n"' },
    ],
    [
      "has a head of some size",
      `HTTP/1.1 200 OK\nA: ${"b".repeat(20_000)}\n\n`,
      { exitCode: -1, output: "the server answered with a head of more than 16384 bytes" },
    ],
    [
      "does not go on with interim answers",
      "HTTP/1.1 100 Continue\n\n".repeat(1000),
      { exitCode: -1, output: "the server answered with a head of more than 16384 bytes" },
    ],
  ])("%s", async (_name, answer, outcome) => {
    expect(await ask(`${answering(answer)}/health`)).toEqual(outcome);
  });

  test("is asked for the path of the URL, by its name, and for no more", async () => {
    let request = "";
    const server = Bun.listen({
      hostname: "::1",
      port: 0,
      socket: {
        data(socket, chunk) {
          request += chunk.toString();
          if (request.endsWith("\r\n\r\n")) socket.end("HTTP/1.1 204 No Content\r\n\r\n");
        },
      },
    });
    servers.push(server);
    // It listens on the other loopback alone.
    expect(await ask(`http://localhost:${server.port}/a%20b?c=d#e`)).toMatchObject({ exitCode: 0 });
    const [line, host, agent, ...rest] = request.split("\r\n");
    expect([line, host]).toEqual(["GET /a%20b?c=d HTTP/1.1", `Host: localhost:${server.port}`]);
    expect(agent).toMatch(/^User-Agent: tsd\/\S+ \(health check\)$/);
    expect(rest).toEqual(["Accept: */*", "Connection: close", "", ""]);
  });

  test("is healthy without closing the connection, and late when it says nothing or without end", async () => {
    const open = serve((socket) => void socket.write("HTTP/1.1 200 OK\r\n\r\n"));
    expect(await ask(`${open}`)).toEqual(ok);
    const late = { exitCode: -1, output: "Health check exceeded timeout (100ms)", isLate: true };
    expect(await ask(`${serve(() => undefined)}`, 100)).toEqual(late);
    const trickle = serve((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const timer = setInterval(() => (socket.readyState > 0 ? socket.write("A: b\r\n") : clearInterval(timer)), 10);
    });
    expect(await ask(`${trickle}`, 100)).toEqual(late);
    const flood = serve((socket) => {
      socket.write("HTTP/1.1 500 No\r\n\r\n");
      const timer = setInterval(() => (socket.readyState > 0 ? socket.write(long) : clearInterval(timer)), 1);
    });
    expect(await ask(`${flood}`)).toMatchObject({ exitCode: 1 });
    const pieces = serve((socket) => {
      for (const byte of "HTTP/1.1 200 OK\r\nA: b\r\n\r\n") socket.write(byte);
    });
    expect(await ask(`${pieces}`)).toEqual(ok);
    expect(await ask(`https://127.0.0.1:${answering("HTTP/1.1 200 OK\n\n")}`, 100)).toMatchObject({ exitCode: -1 });
  });
});

test("a server with TLS is asked through it, whoever has signed its certificate", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tsd-health-"));
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(directory, name));
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const made = Bun.spawnSync([
    "openssl",
    "req",
    "-x509",
    ...curve,
    "-keyout",
    key!,
    "-out",
    cert!,
    "-subj",
    "/CN=other",
  ]);
  expect(made.exitCode).toBe(0);
  const tls = { key: readFileSync(key!, "utf8"), cert: readFileSync(cert!, "utf8") };
  rmSync(directory, { recursive: true });
  servers.push(Bun.serve({ port: 0, hostname: "127.0.0.1", tls, fetch: () => new Response("no", { status: 418 }) }));
  const { port } = servers.at(-1) as Bun.Server<undefined>;
  expect(await ask(`https://localhost:${port}/`)).toEqual({ exitCode: 1, output: "HTTP/1.1 418 I'm a Teapot\nno" });
  expect(await ask(`http://localhost:${port}/`)).toMatchObject({ exitCode: -1 });
});

describe("a port", () => {
  test("is healthy when it accepts, and says why it does not", async () => {
    const connect = (target: string) => startProbe(tcpProbe(container, parseTcpTarget(target)), 1000).outcome;
    const port = serve(() => undefined);
    expect(await connect(`${port}`)).toEqual({ exitCode: 0, output: `connected to 127.0.0.1:${port}` });
    expect(await connect(`[::1]:${port}`)).toEqual({
      exitCode: -1,
      output: `connect [::1]:${port}: ECONNREFUSED (connection refused)`,
    });
    const ended = { id: "c", state: { ...running, pidStartTicks: 1 } } as unknown as Container;
    const { outcome } = startProbe(tcpProbe(ended, parseTcpTarget(`${port}`)), 1000);
    expect(await outcome).toEqual({ exitCode: -1, output: "container c is not running" });
  });
});

describe("what is no target", () => {
  test.each([
    ["health", "is neither a URL"],
    ["ftp://127.0.0.1/", "is neither a URL"],
    ["8080health", "is neither a URL"],
    ["http://", "is neither a URL"],
    ["0/", "has no port from 1 to 65535"],
    ["99999/", "is neither a URL"],
    ["http://db:8080/", 'has the name "db" in it'],
    ["http://me:secret@127.0.0.1/", "has credentials in it"],
  ])("%s is refused for HTTP", (text, reason) => {
    expect(() => parseHttpTarget(text)).toThrow(`HTTP in Healthcheck: ${JSON.stringify(text)} ${reason}`);
  });
  test.each([
    ["", "is neither PORT (5432)"],
    ["db:5432", 'has the name "db" in it'],
    ["127.0.0.1", "is neither PORT (5432)"],
    ["65536", "has no port"],
    ["::1:80", "is neither PORT (5432)"],
  ])("%s is refused for TCP", (text, reason) => {
    expect(() => parseTcpTarget(text)).toThrow(`TCP in Healthcheck: ${JSON.stringify(text)} ${reason}`);
  });
});
