/** Hooks, seccomp and `explain`: what a bundle's configuration makes happen beside its process. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import type { OciHooks } from "../../src/oci/runtime.ts";
import { Bundles, messageOf, type RuntimeName } from "./bundles.ts";

let bundles: Bundles;

beforeAll(async () => {
  bundles = await Bundles.open(["busybox"]);
}, 120_000);

afterAll(() => bundles?.[Symbol.asyncDispose]());

const kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] as const;

interface Seen {
  kind: string;
  state: Record<string, unknown>;
  variables: string[];
  namespaces: string[];
}

/** What each hook was told and where it ran, in the order in which they ran. */
async function hooksOf(runtime: RuntimeName): Promise<Seen[]> {
  const { id, bundle } = await bundles.bundleOf(["sh", "-c", "sleep 0.1"], (config) => {
    const hook = (kind: string) => {
      // startContainer's program is the container's; the others are the host's, and see the same files here.
      const log = kind === "startContainer" ? "/hooks" : `/proc/self/cwd/hooks`;
      const script = `cat > ${log}/${kind}; (env | sort | grep -v ^PWD; for ns in mnt uts net; do readlink /proc/self/ns/$ns; done) > ${log}/${kind}.more; date +%N > /dev/null`;
      return [
        { path: "/bin/sh", args: ["sh", "-c", script], env: [`KIND=${kind}`, "PATH=/bin:/usr/bin"], timeout: 10 },
      ];
    };
    config.hooks = Object.fromEntries(kinds.map((kind) => [kind, hook(kind)])) as OciHooks;
    config.annotations = { "org.example.note": "kept" };
    const source = bundles.workspace.path(`bundle-${config.linux!.cgroupsPath!.split("/").at(-1)}`, "hooks");
    mkdirSync(source, { recursive: true });
    config.mounts!.push({ destination: "/hooks", type: "bind", source, options: ["bind"] });
  });
  const { status, stderr } = await bundles.verb(runtime, ["run", "--bundle", bundle, id], { cwd: bundle });
  if (status !== 0) throw new Error(`${runtime}: ${stderr}`);
  const host = ["mnt", "uts", "net"].map((name) => readlink(`/proc/self/ns/${name}`));
  return kinds.flatMap((kind) => {
    if (!readdirSync(`${bundle}/hooks`).includes(kind)) return [];
    const state = JSON.parse(readFileSync(`${bundle}/hooks/${kind}`, "utf8")) as Record<string, unknown>;
    const lines = readFileSync(`${bundle}/hooks/${kind}.more`, "utf8").trim().split("\n");
    const masked = {
      ...state,
      pid: (state.pid ?? 0) === 0 ? 0 : "N",
      id: "ID",
      bundle: String(state.bundle).replace(id, "ID"),
      ociVersion: "*",
    };
    return [
      {
        kind,
        state: masked,
        variables: lines.filter((line) => line.includes("=")),
        namespaces: lines.filter((line) => line.includes(":[")).map((line) => (host.includes(line) ? "host" : "own")),
      },
    ];
  });
}

function readlink(path: string): string {
  return Bun.spawnSync(["readlink", path]).stdout.toString().trim();
}

describe("hooks", () => {
  test("are told the same, in the same places, under runc and under tsd", async () => {
    const seen = await hooksOf("tsd");
    expect(seen.map(({ kind }) => kind)).toEqual([...kinds]);
    const poststart = seen.find(({ kind }) => kind === "poststart")!;
    expect(poststart.state.status).toBe("running");
    // The program runs by then (runtime.md, "Lifecycle"); runc 1.1.5 still says that it waits.
    poststart.state.status = "created";
    expect(seen).toEqual(await hooksOf("runc"));
  });

  test.each(["prestart", "createRuntime", "createContainer", "startContainer"] as const)(
    "of the kind %s that fail leave no container",
    async (kind) => {
      const { id, bundle } = await bundles.bundleOf(["true"], (config) => {
        config.hooks = { [kind]: [{ path: "/bin/sh", args: ["sh", "-c", "echo because >&2; exit 3"] }] } as OciHooks;
      });
      const { status, stderr } = await bundles.verb("tsd", ["run", "--bundle", bundle, id]);
      expect([status, messageOf(stderr)]).toEqual([1, expect.stringMatching(new RegExp(`${kind}.*/bin/sh`))]);
      expect(bundles.traces("tsd", id)).toEqual([]);
    },
  );
});

describe.each(["runc", "tsd"] as const)("seccomp under %s", (runtime) => {
  test.each([
    ["SCMP_ACT_ERRNO", 38, "sh: mkdir: Function not implemented"],
    ["SCMP_ACT_ERRNO", undefined, "Operation not permitted"],
    ["SCMP_ACT_KILL_PROCESS", undefined, "status 159"],
    ["SCMP_ACT_KILL", undefined, "status 159"],
    ["SCMP_ACT_ALLOW", undefined, "made"],
  ] as const)("answers with %s %p", async (action, errnoRet, expected) => {
    const script =
      "mkdir /tmp/made 2>/tmp/out && echo made; status=$?; cat /tmp/out; [ $status -gt 128 ] && echo status $status; rmdir /tmp/made 2>/dev/null; true";
    const { id, bundle } = await bundles.bundleOf(["sh", "-c", script], ({ linux }) => {
      linux!.seccomp = {
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: ["SCMP_ARCH_X86_64"],
        syscalls: [{ names: ["mkdir", "mkdirat"], action, ...(errnoRet !== undefined && { errnoRet }) }],
      };
    });
    const { stdout } = await bundles.verb(runtime, ["run", "--bundle", bundle, id]);
    expect(stdout).toContain(expected.replace("sh: mkdir: ", ""));
  });
});

describe("explain", () => {
  test("prints the calls of a bundle in their order, with their fields, and runs nothing", async () => {
    const { id, bundle } = await bundles.bundleOf(["sh", "-c", "touch /tmp/ran"]);
    const { status, stdout, stderr } = await bundles.verb("tsd", ["explain", "--bundle", bundle]);
    expect([status, stderr]).toEqual([0, ""]);
    const at = (text: string | RegExp) => {
      const index = stdout.search(text);
      if (index < 0) throw new Error(`explain does not say ${text}`);
      return index;
    };
    const order = [/prctl.PR_SET_DUMPABLE/, /fsopen/, /pivot_root/, /sethostname/, /capset/, / execve/].map(at);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    for (const field of [
      "mounts[0]",
      "process.capabilities",
      "linux.maskedPaths",
      "linux.readonlyPaths",
      "linux.seccomp",
    ]) {
      expect(stdout).toContain(field);
    }
    expect(bundles.traces("tsd", id)).toEqual([]);
    expect(readdirSync(bundles.workspace.path("busybox", "rootfs", "tmp"))).not.toContain("ran");
  });

  test("prints the same as JSON, and the same each time", async () => {
    const { bundle } = await bundles.bundleOf(["true"]);
    const json = async () => (await bundles.verb("tsd", ["explain", "--format", "json", bundle])).stdout;
    const first = await json();
    expect(await json()).toBe(first);
    const text = (await bundles.verb("tsd", ["explain", bundle])).stdout;
    const calls = [...first.matchAll(/"(?:call|syscall|name)":\s*"(\w+)"/g)].map((match) => match[1]!);
    expect(calls.length).toBeGreaterThan(50);
    // What the plan's own interpreter does has other names in the text.
    for (const call of new Set(calls).difference(new Set(["select", "load"]))) expect(text).toContain(call);
  });

  test("follows what the configuration says", async () => {
    const explain = async (...flags: string[]) => {
      const { bundle } = await bundles.bundleOf(["true"], (config) => {
        config.hostname = "explained";
        config.root!.readonly = true;
      });
      return (await bundles.verb("tsd", ["explain", ...flags, bundle])).stdout;
    };
    const text = await explain();
    expect(text).toMatch(/sethostname.*explained/);
    expect(text).toContain("root.readonly");
    expect(await explain("--no-pivot")).not.toContain("pivot_root");
    expect(await explain("--create")).not.toBe(text);
  });

  test("refuses a wrong bundle and a wrong format", async () => {
    const { bundle } = await bundles.bundleOf(["true"]);
    const format = await bundles.verb("tsd", ["explain", "--format", "xml", bundle]);
    expect([format.status, messageOf(format.stderr)]).toEqual([1, "invalid format option"]);
    const missing = await bundles.verb("tsd", ["explain", "/no/bundle"]);
    expect([missing.status, messageOf(missing.stderr)]).toEqual([1, "bundle: /no/bundle: no such directory"]);
  });
});
