/** The daemon over TCP, with TLS and without: what stands before its socket here takes connections and passes on bytes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type Certificates, makeCertificates } from "../harness/certificates.ts";
import { type CommandResult, command } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
let made: Certificates;
let plain: number;
let secure: number;
const servers: Server[] = [];

beforeAll(async () => {
  engine = await Engine.open();
  made = await makeCertificates(engine.workspace.path("certificates"), ["127.0.0.1"]);
  const pass = (socket: Socket) => {
    const daemon = connect({ path: engine.daemon.socket, allowHalfOpen: true });
    socket.pipe(daemon);
    daemon.pipe(socket);
    // Whoever hangs up is told to the other.
    socket.on("error", () => daemon.destroy());
    daemon.on("error", () => socket.destroy());
  };
  const open = async (server: Server): Promise<number> => {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as { port: number }).port;
  };
  plain = await open(createServer({ allowHalfOpen: true }, pass));
  const { ca, server } = made;
  secure = await open(
    createTlsServer(
      {
        allowHalfOpen: true,
        ca: readFileSync(ca),
        cert: readFileSync(server.certificate),
        key: readFileSync(server.key),
        requestCert: true,
        rejectUnauthorized: true,
      } as object,
      pass,
    ),
  );
}, 60_000);
afterAll(async () => {
  for (const server of servers) server.close();
  await engine?.[Symbol.asyncDispose]();
});

/** With the configuration of the test's own, and no daemon named by the environment. */
function own(args: string[], stdin = ""): Promise<CommandResult> {
  return command([tsd, ...args], { env: { ...engine.daemon.env, TSD_HOST: "", DOCKER_HOST: "" }, stdin });
}

const material = () => [
  "--tlsverify",
  "--tlscacert",
  made.ca,
  "--tlscert",
  made.client.certificate,
  "--tlskey",
  made.client.key,
];

describe("a daemon over TCP", () => {
  test("runs containers, with input and its end", async () => {
    const result = await own(["-H", `tcp://127.0.0.1:${plain}`, "run", "-i", "--rm", engine.busybox, "cat"], "hello\n");
    expect(result).toEqual({ status: 0, stdout: "hello\n", stderr: "" });
  });

  test("is named where nobody answers", async () => {
    expect(await own(["-H", "tcp://127.0.0.1:1", "ps"])).toEqual({
      status: 1,
      stdout: "",
      stderr:
        "cannot connect to the tsd daemon at tcp://127.0.0.1:1. Is the tsd daemon running?\n" +
        "hint: see that the address (-H, DOCKER_HOST, the context) is right and a daemon listens there\n",
    });
  });
});

describe("a daemon over TLS", () => {
  test("that a context describes runs containers, and passes streams and their ends in both directions", async () => {
    const { ca, client } = made;
    const docker = `host=tcp://127.0.0.1:${secure},ca=${ca},cert=${client.certificate},key=${client.key}`;
    expect(await own(["context", "create", "far", "--docker", docker])).toMatchObject({ status: 0 });
    const far = (args: string[], stdin?: string) => own(["-c", "far", ...args], stdin);
    expect(await far(["run", "-d", "--name", "remote", engine.busybox, "sleep", "600"])).toMatchObject({ status: 0 });
    // 1 MB, and more than fits into the buffers on the way.
    const much = "0123456789abcdef".repeat(1 << 16);
    const counted = await far(["exec", "-i", "remote", "sh", "-c", "cat; echo; echo done >&2"], much);
    expect(counted.stdout === `${much}\n`).toBe(true);
    expect(counted).toMatchObject({ status: 0, stderr: "done\n" });
    expect(await far(["rm", "-f", "remote"])).toMatchObject({ status: 0, stdout: "remote\n" });
    expect(await own(["context", "rm", "far"])).toMatchObject({ status: 0 });
  });

  test("is not taken for one whose certificate nobody vouches for, or is for another name", async () => {
    const host = ["-H", `tcp://127.0.0.1:${secure}`];
    const certificate = ["--tlscert", made.client.certificate, "--tlskey", made.client.key];
    const unknown = ["--tlsverify", "--tlscacert", made.client.certificate, ...certificate];
    const untrusted = "signed by an unknown authority\nhint: name the authority's file with --tlscacert";
    for (const args of [["ps"], ["run", "--rm", engine.busybox, "true"]]) {
      expect((await own([...host, ...unknown, ...args])).stderr).toContain(untrusted);
      expect((await own(["-H", `tcp://localhost:${secure}`, ...material(), ...args])).stderr).toContain(
        "the daemon's certificate is not for localhost",
      );
    }
    // Asked for by name: --tls without --tlsverify believes anybody.
    expect(await own([...host, "--tls", "--tlscacert", made.client.certificate, ...certificate, "ps", "-q"])).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
  });

  test("answers nobody without a certificate, or without TLS", async () => {
    const anonymous = ["-H", `tcp://127.0.0.1:${secure}`, "--tlsverify", "--tlscacert", made.ca];
    for (const args of [["ps"], ["run", "--rm", engine.busybox, "true"]]) {
      const { status, stderr } = await own([...anonymous, ...args]);
      expect(stderr).toContain("the TLS handshake failed\nhint: the daemon may want a certificate");
      expect(status).toBe(args[0] === "run" ? 125 : 1);
    }
    const clear = await own(["-H", `tcp://127.0.0.1:${secure}`, "ps"]);
    expect(clear.stderr).toContain("hint: if the daemon speaks TLS, use --tlsverify");
  });
});
