/** Mounts that pass between host and container: `linux.rootfsPropagation` and the options of binds. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import type { RuntimeConfig } from "../../src/oci/runtime.ts";
import { command, succeed } from "../harness/command.ts";
import { Bundles, type RuntimeName } from "./bundles.ts";

let bundles: Bundles;
/** A directory of the host that is a shared mount. */
let shared: string;

beforeAll(async () => {
  bundles = await Bundles.open(["busybox"]);
  shared = bundles.workspace.path("shared");
  mkdirSync(shared);
  bundles.workspace.onClose("the shared mount", () => succeed(["umount", "-R", shared]));
  await succeed(["mount", "-t", "tmpfs", "tmpfs", shared]);
  await succeed(["mount", "--make-shared", shared]);
}, 120_000);

afterAll(() => bundles?.[Symbol.asyncDispose]());

interface Options {
  bind: string;
  root?: NonNullable<RuntimeConfig["linux"]>["rootfsPropagation"];
  userNamespace?: boolean;
}

/** Runs a command with the shared directory at /data, and the right to mount. */
async function run(runtime: RuntimeName, script: string, options: Options, stdin = "") {
  const id = bundles.newId();
  const bundle = await bundles.variant("busybox", id, (config) => {
    config.process!.args = ["sh", "-c", script];
    for (const set of Object.values(config.process!.capabilities!)) set?.push("CAP_SYS_ADMIN");
    config.mounts!.push({ destination: "/data", type: "bind", source: shared, options: ["rbind", options.bind] });
    const linux = config.linux!;
    delete linux.seccomp;
    if (options.root !== undefined) linux.rootfsPropagation = options.root;
    if (!options.userNamespace) return;
    linux.namespaces!.push({ type: "user" });
    linux.uidMappings = linux.gidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
    linux.sysctl = {};
  });
  const { status, stdout, stderr } = await bundles.verb(runtime, ["run", "--bundle", bundle, id], { stdin });
  if (status !== 0) throw new Error(`${runtime}: status ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** Whether a mount that the container makes below /data shows on the host; it is taken away again. */
async function showsOnHost(runtime: RuntimeName, options: Options): Promise<boolean> {
  await run(runtime, "mkdir -p /data/in && mount -t tmpfs tmpfs /data/in && touch /data/in/file", options);
  const shows = existsSync(`${shared}/in/file`);
  if (shows) await succeed(["umount", `${shared}/in`]);
  return shows;
}

/** What the container's mountinfo says of the peers of each mount of interest, by its mount point. */
async function peers(runtime: RuntimeName, root: Options["root"]): Promise<string[]> {
  const id = bundles.newId();
  const bundle = await bundles.variant("busybox", id, (config) => {
    config.process!.args = ["cat", "/proc/self/mountinfo"];
    if (root !== undefined) config.linux!.rootfsPropagation = root;
    for (const option of ["rshared", "rslave", "rprivate"]) {
      config.mounts!.push({ destination: `/b-${option}`, type: "bind", source: shared, options: ["rbind", option] });
      config.mounts!.push({ destination: `/t-${option}`, type: "tmpfs", source: "tmpfs", options: [option] });
    }
  });
  const { stdout, stderr } = await bundles.verb(runtime, ["run", "--bundle", bundle, id]);
  const lines = stdout.split("\n").filter((line) => / \/(b-|t-|proc |sys )/.test(line));
  if (lines.length < 8) throw new Error(`${runtime}: ${stdout}${stderr}`);
  return lines.map((line) => line.split(" - ")[0]!.split(" ").slice(4).join(" ").replaceAll(/:\d+/g, "")).sort();
}

describe.each(["runc", "tsd"] as const)("mounts under %s", (runtime) => {
  test("of the container show on the host where the bind and the root are shared", async () => {
    expect(await showsOnHost(runtime, { bind: "rshared", root: "shared" })).toBe(true);
    expect(await showsOnHost(runtime, { bind: "rshared", root: "rshared" })).toBe(true);
  });

  test("of the container do not show on the host otherwise", async () => {
    expect(await showsOnHost(runtime, { bind: "rshared" })).toBe(false);
    expect(await showsOnHost(runtime, { bind: "rslave", root: "shared" })).toBe(false);
    expect(await showsOnHost(runtime, { bind: "rprivate", root: "shared" })).toBe(false);
    expect(await showsOnHost(runtime, { bind: "rshared", root: "rslave" })).toBe(false);
  });

  test("of a container in a user namespace never show on the host", async () => {
    expect(await showsOnHost(runtime, { bind: "rbind", userNamespace: true })).toBe(false);
    expect(await showsOnHost(runtime, { bind: "rshared", userNamespace: true })).toBe(false);
  });

  test("of the host show in a container that is their slave, and not in a private one", async () => {
    const script = "echo ready; read word; ls /data/later";
    mkdirSync(`${shared}/later`, { recursive: true });
    for (const [bind, seen] of [
      ["rslave", "file"],
      ["rprivate", ""],
    ] as const) {
      const id = bundles.newId();
      const bundle = await bundles.variant("busybox", id, (config) => {
        config.process!.args = ["sh", "-c", script];
        config.mounts!.push({ destination: "/data", type: "bind", source: shared, options: ["rbind", bind] });
      });
      const child = Bun.spawn(bundles.argv(runtime, ["run", "--bundle", bundle, id]), {
        stdin: "pipe",
        stdout: "pipe",
        stderr: "inherit",
      });
      const reader = child.stdout.getReader();
      expect(new TextDecoder().decode((await reader.read()).value)).toBe("ready\n");
      await succeed(["mount", "-t", "tmpfs", "tmpfs", `${shared}/later`]);
      await Bun.write(`${shared}/later/file`, "");
      child.stdin.write("go\n");
      await child.stdin.end();
      let output = "";
      for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
        output += new TextDecoder().decode(chunk.value);
      }
      expect(await child.exited).toBe(0);
      expect(output.trim()).toBe(seen);
      expect((await command(["umount", `${shared}/later`])).status).toBe(0);
    }
  });
});

test.each([
  ["unsaid", undefined],
  ["shared", "shared"],
  ["rshared", "rshared"],
  ["rslave", "rslave"],
  ["rprivate", "rprivate"],
] as const)("mounts have the same peers under runc and under tsd with the root's propagation %s", async (_, root) => {
  expect(await peers("tsd", root)).toEqual(await peers("runc", root));
});
