/** What cannot be run is refused by name, by runc and by tsd, and nothing of it is left. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { RuntimeConfig } from "../../src/oci/runtime.ts";
import { command } from "../harness/command.ts";
import { Bundles, messageOf, type RuntimeName } from "./bundles.ts";

let bundles: Bundles;

beforeAll(async () => {
  bundles = await Bundles.open(["busybox"]);
}, 120_000);

afterAll(() => bundles?.[Symbol.asyncDispose]());

type Change = (config: RuntimeConfig) => void;

function bind(source: string, destination = "/x"): Change {
  return ({ mounts }) => mounts!.push({ destination, source, type: "bind", options: ["bind"] });
}

/** Each is wrong in one way; the message is tsd's, and runc's has the words of `both`. */
const wrong: { name: string; change: Change; both: RegExp; message: RegExp }[] = [
  {
    name: "a root that is not there",
    change: ({ root }) => {
      root!.path = "/no/such/root";
    },
    both: /invalid rootfs.*\/no\/such\/root.*no such/,
    message: /^invalid rootfs: \/no\/such\/root: no such directory$/,
  },
  {
    name: "a root that is a file",
    change: ({ root }) => {
      root!.path = "/etc/passwd";
    },
    both: /not a directory|no such directory/,
    message: /^invalid rootfs: \/etc\/passwd: /,
  },
  {
    name: "a command that is not in PATH",
    change: ({ process }) => {
      process!.args = ["nope", "x"];
    },
    both: /exec: "nope": executable file not found in \$PATH$/,
    message: /^exec: "nope": executable file not found in \$PATH$/,
  },
  {
    name: "a command that is not there",
    change: ({ process }) => {
      process!.args = ["/bin/nope"];
    },
    both: /"\/bin\/nope": .*no such file or directory$/,
    message: /^exec: "\/bin\/nope": .*no such file or directory$/,
  },
  {
    name: "a file that is not executable",
    change: ({ process }) => {
      process!.args = ["/etc/not-executable"];
    },
    both: /exec: "\/etc\/not-executable": permission denied$/,
    message: /^exec: "\/etc\/not-executable": permission denied$/,
  },
  {
    name: "no command at all",
    change: ({ process }) => {
      process!.args = [];
    },
    both: /args.*empty/,
    message: /^process\.args: must not be empty$/,
  },
  {
    name: "a bind whose source is not there",
    change: bind("/no/such/source"),
    both: /\/no\/such\/source.*no such file/i,
    message: /^mounts\[7\]: open_tree \/no\/such\/source: ENOENT/,
  },
  {
    name: "a mount inside /proc",
    change: bind("/etc", "/proc/fs"),
    both: /proc/,
    message: /^mounts\[7\]\.destination: \/proc\/fs is inside \/proc, where nothing may be mounted$/,
  },
  {
    name: "a file system that nobody knows",
    change: ({ mounts }) => mounts!.push({ destination: "/x", type: "nopefs", source: "nope" }),
    both: /no such device|ENODEV/,
    message: /^mounts\[7\]: fsopen nopefs on \/x: ENODEV/,
  },
  {
    name: "a namespace that is not there",
    change: ({ linux }) => {
      linux!.namespaces = linux!.namespaces!.map((it) => (it.type === "uts" ? { ...it, path: "/no/ns/uts" } : it));
    },
    both: /\/no\/ns\/uts/,
    message: /\/no\/ns\/uts/,
  },
  {
    name: "a namespace of another kind",
    change: ({ linux }) => {
      linux!.namespaces = linux!.namespaces!.map((it) => (it.type === "uts" ? { ...it, path: "/proc/1/ns/net" } : it));
    },
    both: /./,
    message: /uts/,
  },
  {
    name: "a working directory that is a file",
    change: ({ process }) => {
      process!.cwd = "/etc/passwd";
    },
    both: /\/etc\/passwd/,
    message: /^process\.cwd: .*\/etc\/passwd/,
  },
  {
    name: "a sysctl that is the host's",
    change: ({ linux }) => {
      linux!.sysctl = { "vm.swappiness": "1" };
    },
    both: /vm\.swappiness/,
    message: /vm\.swappiness/,
  },
  {
    name: "a hook that fails",
    change: (config) => {
      config.hooks = { createRuntime: [{ path: "/bin/false" }] };
    },
    both: /hook/,
    message: /createRuntime.*\/bin\/false.*exit status 1/,
  },
  {
    name: "a cgroup value that the kernel refuses",
    change: ({ linux }) => {
      linux!.resources!.cpu = { cpus: "4000" };
    },
    both: /cpuset\.cpus/,
    message: /cpuset\.cpus/,
  },
];

/** Files of configuration that are wrong before anything is made, with the path of the field. */
const malformed: [name: string, json: string, message: RegExp][] = [
  ["no JSON", "{ nope", /^DIR\/config\.json: not JSON: /],
  ["an array", "[]", /^DIR\/config\.json: /],
  ["a text where a number belongs", '{"process":{"user":{"uid":"a"}}}', /^DIR\/config\.json: process\.user\.uid: /],
  ["a wrong type of namespace", '{"linux":{"namespaces":[{"type":"nope"}]}}', /: linux\.namespaces\[0\]\.type: /],
  ["a relative working directory", '{"process":{"cwd":"tmp"}}', /: process\.cwd: "tmp" is not an absolute path$/],
  ["a number out of range", '{"process":{"oomScoreAdj":5000}}', /: process\.oomScoreAdj: /],
  [
    "a limit above its hard limit",
    '{"process":{"rlimits":[{"type":"RLIMIT_CORE","soft":2,"hard":1}]}}',
    /: process\.rlimits\[0\]\.soft: /,
  ],
  [
    "a wrong type of rlimit",
    '{"process":{"rlimits":[{"type":"RLIMIT_X","soft":2,"hard":3}]}}',
    /: process\.rlimits\[0\]\.type: /,
  ],
  ["a mount without a destination", '{"mounts":[{"type":"tmpfs"}]}', /: mounts\[0\]\.destination: /],
  ["a wrong seccomp action", '{"linux":{"seccomp":{"defaultAction":"NOPE"}}}', /: linux\.seccomp\.defaultAction: /],
];

function hostMounts(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8").split("\n").sort();
}

/** Runs a verb that must fail, and looks whether anything is left of the container. */
async function refusal(runtime: RuntimeName, verb: string, bundle: string, id: string): Promise<string> {
  const before = hostMounts();
  const { status, stderr } = await bundles.verb(runtime, [verb, "--bundle", bundle, id]);
  expect(status).toBe(1);
  expect(bundles.traces(runtime, id)).toEqual([]);
  if (runtime === "tsd")
    expect(hostMounts().filter((line) => line.includes(bundles.workspace.name))).toEqual(
      before.filter((line) => line.includes(bundles.workspace.name)),
    );
  return messageOf(stderr);
}

for (const { name, change, both, message } of wrong) {
  test(`${name} is refused, and nothing is left`, async () => {
    const { id, bundle } = await bundles.bundleOf(["true"], change);
    expect(await refusal("runc", "run", bundle, id)).toMatch(both);
    for (const verb of ["run", "create"]) {
      const text = await refusal("tsd", verb, bundle, id);
      expect(text).toMatch(message);
      expect(text).toMatch(both);
    }
  });
}

describe("a configuration with", () => {
  for (const [name, json, message] of malformed) {
    test(`${name} is refused with the path of the field`, async () => {
      const id = bundles.newId();
      const bundle = bundles.workspace.path(`bundle-${id}`);
      mkdirSync(bundle);
      const complete = json.startsWith('{"')
        ? JSON.stringify(withBasics(JSON.parse(json) as Record<string, object>))
        : json;
      writeFileSync(`${bundle}/config.json`, complete);
      expect((await refusal("tsd", "run", bundle, id)).replaceAll(bundle, "DIR")).toMatch(message);
    });
  }
});

/** What every configuration needs, so that the one field is all that is wrong. */
function withBasics(config: Record<string, object>): object {
  const process = { cwd: "/", args: ["true"], user: { uid: 0, gid: 0 }, ...config.process };
  return { ociVersion: "1.0.2", root: { path: "rootfs" }, ...config, process };
}

test("a bundle that is not there, or has no configuration, is refused by its path", async () => {
  const missing = bundles.workspace.path("no-bundle");
  expect(await refusal("tsd", "run", missing, bundles.newId())).toBe(`bundle: ${missing}: no such directory`);
  const empty = bundles.workspace.path("empty-bundle");
  mkdirSync(empty);
  expect(await refusal("tsd", "run", empty, bundles.newId())).toBe(
    `bundle: ${empty}/config.json: no such file: the bundle has no configuration`,
  );
});

describe.each(["runc", "tsd"] as const)("%s", (runtime) => {
  test.each([
    [["run", "--nope", "id"], 1, /flag provided but not defined: -nope/],
    [["--nope"], 1, /flag provided but not defined: -nope/],
    [["run"], 1, /"run" requires exactly 1 argument/],
    [["run", "a", "b"], 1, /"run" requires exactly 1 argument/],
    [["run", "--bundle"], 1, /flag needs an argument: -bundle/],
    [["run", "--preserve-fds", "x", "id"], 1, /invalid value "x" for flag -preserve-fds: parse error/],
    [["frobnicate"], 3, /frobnicate/],
    [["run", "a/b"], 1, /./],
    [["--log-format", "xml", "list"], 1, /invalid log-format: xml/],
  ] as const)("refuses %j", async (words, status, message) => {
    const result = await bundles.verb(runtime, [...words], { cwd: bundles.workspace.path("busybox") });
    expect(result.status).toBe(status);
    expect(messageOf(result.stderr)).toMatch(message);
  });

  test("--log takes the error, as text or as JSON, and standard error still shows it", async () => {
    const { id, bundle } = await bundles.bundleOf(["nope"]);
    for (const format of ["text", "json"]) {
      const log = bundles.workspace.path(`log-${runtime}-${format}`);
      const flags = ["--log", log, "--log-format", format];
      const result = await command([...bundles.argv(runtime, []), ...flags, "run", "--bundle", bundle, id]);
      expect(result.status).toBe(1);
      expect(result.stderr).toMatch(/exec: "nope": executable file not found in \$PATH\n$/);
      const [line, ...rest] = readFileSync(log, "utf8").split("\n");
      expect(rest).toEqual([""]);
      if (format === "text") {
        expect(line).toMatch(
          /^time="[^"]+" level=error msg="(.*: )?exec: \\"nope\\": executable file not found in \$PATH"$/,
        );
      } else {
        expect(JSON.parse(line!)).toEqual({
          level: "error",
          msg: expect.stringContaining('exec: "nope": executable file not found in $PATH'),
          time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/),
        });
      }
    }
  });
});

test.skipIf(existsSync("/run/systemd/system"))("--systemd-cgroup says that systemd is not running", async () => {
  const { id, bundle } = await bundles.bundleOf(["true"]);
  const { status, stderr } = await bundles.verb("tsd", ["--systemd-cgroup", "run", "--bundle", bundle, id]);
  expect([status, messageOf(stderr)]).toEqual([
    1,
    expect.stringContaining("--systemd-cgroup: systemd is not running on this host"),
  ]);
  expect(bundles.traces("tsd", id)).toEqual([]);
});
