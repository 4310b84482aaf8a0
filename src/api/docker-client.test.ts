/** The unmodified docker client against the routes over a fake engine; skipped where it is not installed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Served, serve } from "./testing/serve.ts";

const docker = ["/usr/local/bin/docker", "/usr/bin/docker"].find((path) => existsSync(path));

let served: Served;
let config: string;
beforeAll(async () => {
  served = await serve();
  config = mkdtempSync(join(tmpdir(), "tsd-docker-config-"));
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
  rmSync(config, { recursive: true });
});

interface Result {
  out: string;
  error: string;
  status: number;
}

function spawn(args: string[], stdin: "ignore" | Uint8Array = "ignore", environment: Record<string, string> = {}) {
  return Bun.spawn([docker!, ...args], {
    stdin,
    stdout: "pipe",
    stderr: "pipe",
    env: { DOCKER_HOST: `unix://${served.socket}`, DOCKER_CONFIG: config, HOME: config, PATH: "", ...environment },
  });
}

async function run(args: string[], stdin?: Uint8Array, environment?: Record<string, string>): Promise<Result> {
  const child = spawn(args, stdin, environment);
  const [out, error, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, error, status };
}

describe.skipIf(docker === undefined)("the docker client", () => {
  test("negotiates, at its own version and at older ones", async () => {
    const format = "{{.Server.Version}} {{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Client.APIVersion}}";
    const { out, error } = await run(["version", "--format", format]);
    expect(error).toBe("");
    expect(out).toMatch(/^9\.9\.9 1\.55 1\.24 1\.\d+\n$/);
    const old = await run(["version", "--format", format], undefined, { DOCKER_API_VERSION: "1.24" });
    expect(old.out).toBe("9.9.9 1.55 1.24 1.24\n");
    const tooNew = await run(["ps"], undefined, { DOCKER_API_VERSION: "1.99" });
    expect(tooNew.error).toContain("client version 1.99 is too new. Maximum supported API version is 1.55");
    expect((await run(["info", "--format", "{{.Name}} {{.NCPU}}"])).out).toBe("fake-host 2\n");
  });

  test("runs attached: output apart, exit status, stdin piped whole, removal", async () => {
    expect(await run(["run", "--rm", "busybox", "both"])).toEqual({
      out: "to stdout\n",
      error: "to stderr\n",
      status: 3,
    });
    const megabytes = new Uint8Array(8 << 20).fill(0x62);
    expect(await run(["run", "-i", "--rm", "busybox", "count"], megabytes)).toEqual({
      out: `${8 << 20}\n`,
      error: "",
      status: 0,
    });
    expect((await run(["ps", "-aq"])).out).toBe("");
  });

  test("makes 127 and 125 of what cannot be run", async () => {
    const { error, status } = await run(["run", "--rm", "busybox", "nope"]);
    expect(error).toStartWith('docker: Error response from daemon: exec: "nope": executable file not found in $PATH');
    expect(status).toBe(127);
    expect((await run(["run", "--rm", "--pull", "never", "absent", "x"])).status).toBe(125);
  });

  test("pulls with progress and lists images; an image that is not there is an error", async () => {
    const { out, status } = await run(["pull", "reg.io/tools/alpine:3"]);
    expect(out).toContain("Status: Downloaded newer image for reg.io/tools/alpine:3");
    expect(status).toBe(0);
    expect((await run(["images", "-q", "busybox"])).out).toStartWith("111111111111");
    expect((await run(["rmi", "reg.io/tools/alpine:3"])).out).toContain("Untagged: reg.io/tools/alpine:3");
    const broken = await run(["pull", "broken"]);
    expect(broken).toMatchObject({ status: 1, error: "layer abc: wrong digest\n" });
    expect((await run(["pull", "missing"])).error).toContain("Error response from daemon: pull access denied for");
  });

  test("runs in the background, follows logs, executes, stops and removes", async () => {
    expect((await run(["run", "-d", "--name", "ticker", "busybox", "ticks", "5"])).out).toMatch(/^[0-9a-f]{64}\n$/);
    expect((await run(["logs", "-f", "ticker"])).out).toBe("tick 0\ntick 1\ntick 2\ntick 3\ntick 4\n");
    expect((await run(["wait", "ticker"])).out).toBe("0\n");
    await run(["run", "-d", "--name", "idle", "busybox", "sleep"]);
    expect((await run(["ps", "--format", "{{.Names}} {{.Status}}"])).out).toContain("idle Up");
    expect(await run(["exec", "-i", "idle", "cat"], Buffer.from("through exec"))).toEqual({
      out: "through exec",
      error: "",
      status: 0,
    });
    expect((await run(["exec", "idle", "exit", "9"])).status).toBe(9);
    expect((await run(["exec", "idle", "nope"])).status).toBe(127);
    expect((await run(["inspect", "--format", "{{.State.Status}} {{.HostConfig.NetworkMode}}", "idle"])).out).toBe(
      "running default\n",
    );
    expect(await run(["stop", "-t", "1", "idle"])).toMatchObject({ out: "idle\n", status: 0 });
    expect(await run(["rm", "idle", "ticker"])).toMatchObject({ out: "idle\nticker\n", status: 0 });
    expect(await run(["rm", "idle"])).toMatchObject({ status: 1 });
  });

  test("streams events until it is interrupted", async () => {
    const child = spawn([
      "events",
      "--filter",
      "container=watched",
      "--format",
      "{{.Action}} {{.Actor.Attributes.name}}",
    ]);
    const reader = child.stdout.getReader();
    for (let tries = 0; served.engine.listening === 0 && tries < 200; tries++) await Bun.sleep(10);
    await run(["run", "--rm", "--name", "watched", "busybox", "echo"]);
    let text = "";
    while (!text.includes("die watched\n")) text += Buffer.from((await reader.read()).value!).toString();
    expect(text).toBe("create watched\nstart watched\ndie watched\n");
    child.kill("SIGINT");
    await child.exited;
    for (let tries = 0; served.engine.listening > 0 && tries < 200; tries++) await Bun.sleep(10);
    expect(served.engine.listening).toBe(0);
  });

  test("manages networks", async () => {
    const id = (await run(["network", "create", "--subnet", "10.9.0.0/16", "--internal", "net"])).out;
    expect(id).toMatch(/^[0-9a-f]{64}\n$/);
    expect((await run(["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"])).out).toBe(
      "bridge bridge local\nhost host local\nnet bridge local\nnone null local\n",
    );
    expect((await run(["inspect", "--format", "{{.Internal}} {{(index .IPAM.Config 0).Subnet}}", "net"])).out).toBe(
      "true 10.9.0.0/16\n",
    );
    expect((await run(["network", "connect", "--alias", "db", "--ip", "10.9.0.7", "net", "web"])).status).toBe(0);
    expect(served.engine.calls.at(-1)).toMatch(/^connect net web .*"IPv4Address":"10.9.0.7".*"Aliases":\["db"\]/);
    expect((await run(["network", "disconnect", "-f", "net", "web"])).status).toBe(0);
    expect(await run(["network", "rm", "net"])).toMatchObject({ out: "net\n", status: 0 });
    expect((await run(["network", "rm", "bridge"])).error).toContain("bridge is a pre-defined network");
    expect((await run(["network", "inspect", "net"])).error).toContain("network net not found");
    expect((await run(["network", "prune", "-f"])).status).toBe(0);
  });

  test("is told plainly what is not there", async () => {
    expect((await run(["swarm", "init"])).error).toContain("tsd has no swarm mode");
    expect((await run(["node", "ls"])).error).toContain("This node is not a swarm manager.");
    expect((await run(["plugin", "ls", "-q"])).status).toBe(0);
    const plugin = await run(["plugin", "install", "--grant-all-permissions", "example.com/x"]);
    expect(plugin.error).toContain("tsd has no managed plugins");
  });

  test("has a terminal: typed input, the window's size, detach keys", async () => {
    let screen = "";
    const child = Bun.spawn([docker!, "run", "-it", "--name", "term", "busybox", "cat"], {
      env: { DOCKER_HOST: `unix://${served.socket}`, DOCKER_CONFIG: config, HOME: config, TERM: "xterm" },
      terminal: {
        cols: 91,
        rows: 33,
        data(_terminal, data) {
          screen += Buffer.from(data).toString();
        },
      },
    });
    const until = async (text: string) => {
      for (let tries = 0; !screen.includes(text) && tries < 300; tries++) await Bun.sleep(10);
      expect(screen).toContain(text);
    };
    for (let tries = 0; !served.engine.calls.includes("resize term 33x91") && tries < 300; tries++) await Bun.sleep(10);
    expect(served.engine.calls).toContain("resize term 33x91");
    child.terminal!.write("typed");
    await until("typed");
    child.terminal!.write("\x10\x11");
    await child.exited;
    expect((await run(["ps", "--format", "{{.Names}}"])).out).toBe("term\n");
    await run(["rm", "-f", "term"]);
  });
});
