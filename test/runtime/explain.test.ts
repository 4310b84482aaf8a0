/**
 * explain: the plan of a bundle and of an exec, each call with its reason; and after a failure the plan as far as it
 * came, with the call that failed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestConfig } from "../harness/oci-bundle.ts";
import { OciRuntime } from "../harness/oci-runtime.ts";
import { failingConfigs } from "./failing-configs.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

const secret = "hush-hush";

function withSecret(config: TestConfig): void {
  config.process.env!.push(`TOKEN=${secret}`);
}

interface Explained {
  records: {
    index: number;
    text: string;
    why?: string;
    reason?: string;
    failed?: true;
    errno?: string;
    answer?: number;
  }[];
}
interface Report {
  verb: string;
  container: string;
  message: string;
  plan: Explained;
}

/** The line of the call that failed, and the heading above it. */
function marked(report: string): { call: string; why: string; below: string } {
  const lines = report.split("\n");
  const index = lines.findIndex((line) => line.startsWith(">>"));
  const heading = lines.slice(0, index).findLast((line) => line.startsWith("# "));
  return { call: lines[index] ?? "", why: heading?.slice(2) ?? "", below: lines[index + 1] ?? "" };
}

async function failure(...words: string[]): Promise<Report> {
  return JSON.parse(await runtime.ok("explain", "--failed", "--format", "json", ...words));
}

/** Those of this file's containers and roots; other tests mount, too. */
function hostMounts(): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines.filter((line) => line.includes(runtime.workspace.name));
}

describe("a container that fails because of", () => {
  for (const { name, args = ["true"], change, spoil, verb = "run", message, why, call } of failingConfigs) {
    test(`${name} says which call it was, and leaves nothing`, async () => {
      const mountsBefore = hostMounts();
      const rootfs = spoil === undefined ? runtime.rootfs : await runtime.newRootfs();
      spoil?.(rootfs);
      const { id, bundle } = runtime.bundle(args, (config) => {
        config.root.path = rootfs;
        withSecret(config);
        change?.(config);
      });
      const failed = await runtime.fails(verb, "--bundle", bundle, id);
      expect(failed.status).toBe(1);
      expect(failed.message).toMatch(message);
      expect(runtime.traces(id)).toEqual([]);
      expect(hostMounts()).toEqual(mountsBefore);

      const report = await runtime.ok("explain", "--failed", id);
      const mark = marked(report);
      expect(mark.why.startsWith(why)).toBe(true);
      expect(mark.call).toMatch(call);
      expect(mark.below).toContain(failed.message);
      expect(report).not.toContain(secret);

      const json = await failure(id);
      expect(json).toMatchObject({ verb, container: id, message: failed.message });
      const [record, ...others] = json.plan.records.filter((it) => it.failed);
      expect(others).toEqual([]);
      expect(mark.call).toContain(record!.text);
      expect(JSON.stringify(json)).not.toContain(secret);
    });
  }
});

test("a start that fails marks the call after the start", async () => {
  const rootfs = await runtime.newRootfs();
  const change = (config: TestConfig) => {
    config.root.path = rootfs;
    withSecret(config);
    config.hooks = { startContainer: [{ path: "/hook" }] };
  };
  await using container = await runtime.created(["true"], change);
  writeFileSync(join(rootfs, "hook"), "#!/bin/sh\nexit 3\n", { mode: 0o755 });
  const { message } = await runtime.fails("start", container.id);
  expect(message).toMatch(/^hooks\.startContainer\[0\] \/hook: failed$/);
  const report = await runtime.ok("explain", "--failed", container.id);
  expect(report).toStartWith(`start of container ${container.id} failed at `);
  expect(report).toMatch(/\nThe \d+ calls before the start had all succeeded\.\n/);
  expect(marked(report)).toMatchObject({
    why: "hooks.startContainer[0]",
    call: expect.stringMatching(/verify &status .* = ECANCELED {3}← failed$/),
  });
  expect(report).not.toContain("pivot_root");
  expect(report).not.toContain(secret);
});

describe("an exec that fails", () => {
  test.each([
    ["a command that is not there", ["/no/such"], [], /execve\("\/no\/such", .* = ENOENT/, "process.args"],
    ["a command that is not in PATH", ["nope"], [], /fail -ENOENT/, "process.args"],
    [
      "a working directory that is not there",
      ["true"],
      ["--cwd", "/no/such"],
      /chdir\("\/no\/such"\) {3}= ENOENT/,
      "process.cwd",
    ],
    ["an AppArmor profile", ["true"], ["--apparmor", "nope"], /= E/, "process.apparmorProfile"],
  ] as const)("because of %s marks the call", async (_name, args, flags, call, why) => {
    await using container = await runtime.running();
    const { status, stderr } = await runtime.exec(container.id, [...args], [...flags, "--env", `TOKEN=${secret}`]);
    expect([status, stderr]).toEqual([255, expect.stringContaining("exec failed: ")]);
    const report = await runtime.ok("explain", "--failed", container.id);
    expect(report).toStartWith(`exec of container ${container.id} failed at `);
    expect(marked(report).why).toBe(why);
    expect(marked(report).call).toMatch(call);
    expect(report).not.toContain(secret);
  });
});

describe("the reports of failures", () => {
  test("are the newest 16, one a container and verb, for their owner alone, and no containers", async () => {
    const { id, bundle } = runtime.bundle(["nope"]);
    for (let round = 0; round < 2; round++) await runtime.fails("run", "--bundle", bundle, id);
    const last = runtime.bundle(["nope"]);
    for (let round = 0; round < 17; round++) await runtime.fails("run", "--bundle", last.bundle, `${last.id}-${round}`);
    const directory = join(runtime.stateRoot, ".failures");
    const names = readdirSync(directory);
    expect(names.length).toBe(16);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    for (const name of names) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    const listed = JSON.parse(await runtime.ok("explain", "--failures", "--format", "json")) as Report[];
    expect(listed.map(({ container }) => container)).toEqual(
      Array.from({ length: 16 }, (_, index) => `${last.id}-${16 - index}`),
    );
    const table = (await runtime.ok("explain", "--failures")).trimEnd().split("\n");
    expect(table.length).toBe(17);
    expect(table[1]).toMatch(/^\S+ +run +\S+-16 +exec: "nope": executable file not found in \$PATH$/);
    expect((await failure()).container).toBe(`${last.id}-16`);
    expect(await runtime.ok("list", "--quiet")).toBe("");
    expect((await runtime.fails("explain", "--failed", id)).message).toStartWith(
      `no failure of container ${id} is recorded`,
    );
  });

  test("are not written by what goes well, nor by what fails before a plan runs", async () => {
    const { id, bundle } = runtime.bundle(["true"]);
    const fresh = runtime.path("state");
    const verb = (...words: string[]) => runtime.verb(["--root", fresh, ...words]);
    expect((await verb("run", "--bundle", bundle, id)).status).toBe(0);
    const wrong = runtime.bundle([]);
    expect((await verb("run", "--bundle", wrong.bundle, wrong.id)).status).toBe(1);
    expect(readdirSync(fresh).filter((name) => name !== ".seccomp")).toEqual([]);
  });

  test("that cannot be written are warned of, and the failure is told all the same", async () => {
    const { id, bundle } = runtime.bundle(["nope"]);
    const fresh = runtime.path("state");
    await runtime.verb(["--root", fresh, "run", "--bundle", runtime.bundle(["true"]).bundle, id]);
    writeFileSync(join(fresh, ".failures"), "");
    const { status, stderr } = await runtime.verb(["--root", fresh, "run", "--bundle", bundle, id]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/level=warning msg="the report of the failure could not be written: .*(EEXIST|ENOTDIR)/);
    expect(stderr).toMatch(/level=error msg="exec: \\"nope\\": executable file not found in \$PATH"\n$/);
  });

  test("go to the log with --debug, before the error", async () => {
    const { id, bundle } = runtime.bundle(["/no/such"], withSecret);
    const log = runtime.path("log");
    const words = ["--debug", "--log", log, "--log-format", "json", "run", "--bundle", bundle, id];
    expect((await runtime.verb(words)).status).toBe(1);
    const lines = readFileSync(log, "utf8").trimEnd().split("\n");
    const messages = lines.map((line) => JSON.parse(line) as { level: string; msg: string });
    expect(messages.at(-1)).toMatchObject({ level: "error", msg: expect.stringContaining("/no/such") });
    const mark = messages.findIndex(({ msg }) => msg.startsWith(">>"));
    expect(messages[mark]).toMatchObject({
      level: "debug",
      msg: expect.stringMatching(/execve\("\/no\/such", .*← failed$/),
    });
    expect(readFileSync(log, "utf8")).not.toContain(secret);
  });
});

describe("the plan of a bundle", () => {
  test("has a field or a reason for every call, and shows an environment's values on demand alone", async () => {
    const { bundle } = runtime.bundle(["true"], withSecret);
    const { records } = JSON.parse(await runtime.ok("explain", "--format", "json", bundle)) as Explained;
    expect(records.filter(({ why }) => why === undefined)).toEqual([]);
    const fields = /^(process|linux|mounts|root|hostname)\b/;
    expect(records.filter(({ why, reason }) => !fields.test(why!) && reason === undefined)).toEqual([]);
    const text = await runtime.ok("explain", bundle);
    expect(text).toContain("\n# mounts[1]\n");
    expect(text).toContain("\n# descriptors: so that nothing of the host is inherited (CVE-2024-21626)\n");
    expect(text).toContain("\n# process.user.umask: not given, which means 0022\n");
    expect(text).toContain("TOKEN=…");
    expect(text).not.toContain(secret);
    expect(await runtime.ok("explain", "--show-env", bundle)).toContain(`"TOKEN=${secret}"`);
  });
});

describe("the plan of an exec", () => {
  test("enters the namespaces of the container, and runs nothing", async () => {
    await using container = await runtime.running();
    const { id } = container;
    const text = await runtime.ok(
      "explain",
      "--exec",
      id,
      "--user",
      "5:6",
      "--env",
      `A=${secret}`,
      "--",
      "touch",
      "/made",
      "-m",
    );
    expect(text).toContain(
      "\n# the container's namespaces: because the process is to see what the container's own processes see\n",
    );
    expect(text).toMatch(/ setns\(@namespace\.pid, CLONE_NEWPID\)\n/);
    expect(text).toContain('execve("/bin/touch", ["touch", "/made", "-m"], [PATH=…, TERM=…, A=…, HOME=…])');
    expect(text).toContain("setresuid(5, 5, 5)");
    expect(text).not.toContain(secret);
    expect(await runtime.inside(id, "ls /made 2>&1 || true")).toContain("No such file");
    const { records } = JSON.parse(await runtime.ok("explain", "--format", "json", "--exec", id, "true")) as Explained;
    expect(records.filter(({ why }) => why === undefined)).toEqual([]);
  });

  test("is refused for a container that is not there, or without a command", async () => {
    expect((await runtime.fails("explain", "--exec", "nobody", "true")).message).toBe(
      "container nobody does not exist",
    );
    await using container = await runtime.running();
    expect((await runtime.fails("explain", "--exec", container.id)).message).toMatch(/^no command/);
  });
});

describe("a wrong use of explain is refused:", () => {
  test.each([
    [["--failed", "--exec", "c"], "--exec and --failed cannot be used together"],
    [["--failed", "--failures"], "--failed and --failures cannot be used together"],
    [
      ["--failed", "--show-env"],
      "--show-env has no meaning with --failed: reports of failures hold no values of variables",
    ],
    [["--failed", "--create"], "--create has no meaning with --failed"],
    [["--failed", "--bundle", "b"], "--bundle has no meaning with --failed"],
    [["--exec", "c", "--no-pivot", "true"], "--no-pivot has no meaning with --exec"],
    [["--cwd", "/x"], "--cwd has a meaning only with --exec"],
    [["--failed", "--tty"], "--tty has a meaning only with --exec"],
    [["--failures", "x"], '"explain" takes at most 0 argument(s) here: x'],
    [["--failed", "a", "b"], '"explain" takes at most 1 argument(s) here: b'],
    [["a", "b"], '"explain" takes at most 1 argument(s) here: b'],
    [["--format", "xml"], "invalid format option"],
  ])("%j", async (words, message) => {
    expect(await runtime.fails("explain", ...words)).toEqual({ status: 1, message });
  });
});
