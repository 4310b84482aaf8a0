/** Log drivers as they are seen from outside: the files, a syslog server, what `logs` shows, and what is refused. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open({
    flags: ["--log-driver", "local", "--log-opt", "max-file=3", "--log-opt", "max-size=20k"],
  });
});
afterAll(() => engine[Symbol.asyncDispose]());

const start = (name: string, script: string, ...flags: string[]) =>
  engine.start(["--name", name, "--network", "none", ...flags], "sh", "-c", script);
const config = async (name: string) =>
  JSON.parse(await engine.inspect(name, "{{json .HostConfig.LogConfig}}")) as unknown;
const ended = (name: string) => engine.daemon.ok("wait", name);

/** A syslog server on a Unix socket, where containers of any network find it. */
class SyslogServer {
  readonly path: string;
  text = "";
  readonly #listener: Bun.UnixSocketListener<undefined>;

  constructor(path: string) {
    this.path = path;
    this.#listener = Bun.listen({ unix: path, socket: { data: (_, bytes) => this.#take(bytes) } });
  }

  #take(bytes: Buffer): void {
    this.text += bytes.toString();
  }

  /** Without what comes before the tag. */
  get lines(): string[] {
    return this.text
      .split("\n")
      .slice(0, -1)
      .map((line) => line.replace(/^(<\d+>).{15} /, "$1"));
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }
}

test("a container that names no driver has the daemon's with its options; one that names another has none of them", async () => {
  expect(await engine.daemon.ok("info", "--format", "{{.LoggingDriver}} {{.Plugins.Log}}")).toBe(
    "local [journald json-file local none syslog]",
  );
  const id = await start("default", "i=0; while [ $i -lt 8000 ]; do echo line $i; i=$((i+1)); done");
  await ended("default");
  expect(await config("default")).toEqual({ Type: "local", Config: { "max-file": "3", "max-size": "20k" } });
  const directory = `${engine.daemon.root}/containers/${id}/local-logs`;
  // While one is being compressed it is there twice, beside what becomes of it.
  const names = new Set(readdirSync(directory).map((name) => name.replace(/\.(gz|compressing)$/, "")));
  expect([...names].sort()).toEqual(["container.log", "container.log.1", "container.log.2"]);
  const kept = (await engine.tsd(["logs", "default"])).stdout.split("\n").slice(0, -1);
  expect(kept.at(-1)).toBe("line 7999");
  expect(kept.every((line, index) => line === `line ${8000 - kept.length + index}`)).toBe(true);
  await start("named", "echo x", "--log-driver", "json-file");
  expect(await config("named")).toEqual({ Type: "json-file", Config: {} });
  await ended("named");
  await engine.daemon.ok("rm", "default", "named");
});

test("labels, variables and the tag go with every line, and are what --details shows", async () => {
  const flags = ["--label", "team=a&b", "-e", "STAGE=test", "--log-opt", "labels=team", "--log-opt", "env-regex=^STA"];
  for (const driver of ["json-file", "local"]) {
    const id = await start(
      driver,
      "echo hello",
      "--log-driver",
      driver,
      ...flags,
      "--log-opt",
      "tag={{.Name}}/{{.ID}}",
    );
    await ended(driver);
    const short = id.slice(0, 12);
    const { stdout } = await engine.tsd(["logs", "--details", driver]);
    expect(stdout).toBe(`STAGE=test,tag=${driver}%2F${short},team=a%26b hello\n`);
    if (driver === "json-file") {
      const record = readFileSync(`${engine.daemon.root}/containers/${id}/${id}-json.log`, "utf8");
      expect(record).toContain(
        `{"log":"hello\\n","stream":"stdout","attrs":{"STAGE":"test","tag":"json-file/${short}","team":"a\\u0026b"},"time":"`,
      );
    }
    await engine.daemon.ok("rm", driver);
  }
});

test("a syslog server gets the lines, and `logs` shows the copy that is kept of them unless there is none", async () => {
  using server = new SyslogServer(engine.workspace.path("syslog"));
  const address = ["--log-driver", "syslog", "--log-opt", `syslog-address=unix://${server.path}`];
  const { stdout } = await engine.run(
    [
      "--network",
      "none",
      "--name",
      "attached",
      ...address,
      "--log-opt",
      "tag={{.Name}}",
      "--log-opt",
      "syslog-facility=local1",
    ],
    ["sh", "-c", "echo out; echo err >&2"],
  );
  expect(stdout).toBe("out\n");
  await until("both lines have come", () => server.lines.length === 2);
  const untagged = server.lines.map((line) => line.replace(/\[\d+\]/, ""));
  expect(untagged.toSorted()).toEqual(["<139>attached: err", "<142>attached: out"]);
  await start("copied", "echo kept", ...address);
  await ended("copied");
  expect((await engine.tsd(["logs", "copied"])).stdout).toBe("kept\n");
  await start("uncopied", "echo gone", ...address, "--log-opt", "cache-disabled=true");
  await ended("uncopied");
  const { status, stderr } = await engine.tsd(["logs", "uncopied"]);
  expect([status, stderr.trim()]).toEqual([
    1,
    expect.stringContaining("configured logging driver does not support reading"),
  ]);
  expect(server.text).toContain("gone\n");
  await engine.daemon.ok("rm", "copied", "uncopied");
});

test("without its server a container does not start, and the reason is said", async () => {
  const path = engine.workspace.path("nobody");
  const log = ["--log-driver", "syslog", "--log-opt", `syslog-address=unixgram://${path}`];
  const { status, stderr } = await engine.run(["--network", "none", ...log], ["true"]);
  expect([status, stderr]).toEqual([
    125,
    expect.stringContaining(`failed to initialize logging driver: dial unixgram ${path}`),
  ]);
  await engine.untilNoTrace();
});

test("a container that does not wait for its log has its lines in it when it has ended", async () => {
  for (const driver of ["json-file", "local"]) {
    const flags = ["--log-driver", driver, "--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=8m"];
    await start(`fast-${driver}`, "seq 1 20000", ...flags, "--log-opt", "max-size=10m");
    await ended(`fast-${driver}`);
    const { stdout } = await engine.tsd(["logs", `fast-${driver}`]);
    expect(stdout).toBe(`${Array.from({ length: 20_000 }, (_, index) => index + 1).join("\n")}\n`);
    await engine.daemon.ok("rm", `fast-${driver}`);
  }
});

test("drivers and options that are wrong are refused by name, and nothing is left", async () => {
  const refused = async (...flags: string[]) => (await engine.tsd(["create", ...flags, engine.busybox])).stderr;
  expect(await refused("--log-driver", "gelf")).toContain(
    "log driver gelf: tsd has journald, json-file, local, none, syslog",
  );
  expect(await refused("--log-driver", "local", "--log-opt", "max-file=0")).toContain("max-file cannot be less than 1");
  expect(await refused("--log-opt", "tag={{.Nope}}")).toContain("{{.Nope}} is none of .ID");
  const second = await engine.tsd(["daemon", "--log-driver", "local", "--log-opt", "nope=1"]);
  expect([second.status, second.stderr]).toEqual([
    125,
    expect.stringContaining("unknown log opt 'nope' for log driver local"),
  ]);
  expect(readdirSync(`${engine.daemon.root}/containers`)).toEqual([]);
});
