/**
 * What tsd, or who called it, has open is not open in a container, and is no way out by a working directory or a
 * program's path (CVE-2024-21626); and files that tsd writes for its caller are written where the caller said.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../../harness/command.ts";
import { allow } from "./config.ts";
import { Scene, secret, treeState, type Victim } from "./scene.ts";

let scene: Scene;
let outside: string;
let container: Victim & AsyncDisposable;

/** Links of an image that lead to where a descriptor leads, if it is open. */
function addLinks(rootfs: string): void {
  for (const number of numbers) symlinkSync(`/proc/self/fd/${number}`, join(rootfs, `fd-${number}`));
}
const numbers = Array.from({ length: 22 }, (_, index) => index + 3);

beforeAll(async () => {
  scene = await Scene.open();
  outside = scene.directory("outside");
  writeFileSync(join(outside, "secret"), secret);
  container = await scene.running(["sleep", "1000"], (config) => allow(config, "CAP_SYS_PTRACE"), addLinks);
}, 60_000);

afterAll(async () => {
  await container?.[Symbol.asyncDispose]();
  await scene?.[Symbol.asyncDispose]();
});

/** A caller that leaves directories of the host's open, without close-on-exec, at 3 to 9 and at 20. */
function leaking(words: string[]): string[] {
  const opened = [3, 4, 5, 6, 7, 8, 9].map((number) => `exec ${number}<"$0";`).join(" ");
  return ["bash", "-c", `${opened} exec 20<"$0"; exec "$@"`, outside, ...words];
}

const show = ["sh", "-c", "ls -l /proc/self/fd; pwd; cat secret ../secret ./*/secret /proc/self/fd/*/secret"];
const open = /^(\/proc\/\d+\/fd|\/dev\/null|pipe:\[\d+\]|socket:\[\d+\])$/;

/** Nothing but the standard streams, and the directory that ls itself has open. */
function expectNoDescriptors(stdout: string): void {
  const targets = [...stdout.matchAll(/ (\d+) -> (.*)$/gm)].map(([, , target]) => target!);
  expect(targets.length).toBeGreaterThan(2);
  expect(targets.filter((target) => !open.test(target))).toEqual([]);
  expect(stdout).not.toContain(secret);
}

describe("a descriptor that a caller left open", () => {
  test("does not come into a container, nor does one of tsd's own", async () => {
    const { id, bundle } = await scene.victim(show);
    expectNoDescriptors((await command(leaking(scene.argv(["run", "-b", bundle, id])))).stdout);
    expectNoDescriptors((await command(leaking(scene.argv(["exec", container.id, ...show])))).stdout);
  });

  test("comes where --preserve-fds asks for it, which shows that it was there", async () => {
    const { id, bundle } = await scene.victim(show);
    const { stdout } = await command(leaking(scene.argv(["run", "--preserve-fds", "1", "-b", bundle, id])));
    expect(stdout).toContain(`3 -> ${outside}`);
    expect(stdout).not.toContain(`4 -> ${outside}`);
    expect(stdout).toContain(secret);
  });

  test("is no working directory of a container's (CVE-2024-21626)", async () => {
    const victim = await scene.victim(show, undefined, addLinks);
    const before = treeState(outside);
    for (const number of [3, 6, 9, 12, 20]) {
      for (const cwd of [`/proc/self/fd/${number}`, `/fd-${number}`, `/proc/self/fd/${number}/../..`]) {
        scene.configure(victim, show, (config) => {
          config.process!.cwd = cwd;
        });
        const words = ["run", "--preserve-fds", number === 3 ? "1" : "0", "-b", victim.bundle, victim.id];
        const { status, stdout, stderr } = await command(leaking(scene.argv(words)));
        expect([status, stdout]).toEqual([1, ""]);
        expect(stderr).toContain("process.cwd: ");
      }
    }
    expect(treeState(outside)).toEqual(before);
  });

  test("is no working directory of an exec's, also not through its symlinks", async () => {
    for (const number of numbers) {
      for (const cwd of [`/proc/self/fd/${number}`, `/fd-${number}`, `/proc/self/fd/${number}/1/root`]) {
        const words = ["exec", "--preserve-fds", number === 3 ? "1" : "0", "--cwd", cwd, container.id, ...show];
        const { status, stdout, stderr } = await command(leaking(scene.argv(words)));
        expect([status, stdout]).toEqual([255, ""]);
        expect(stderr).toContain("process.cwd: ");
      }
    }
  }, 60_000);

  test("is no path to a program of the host's", async () => {
    writeFileSync(join(outside, "program"), `#!/bin/sh\necho ${secret}\n`, { mode: 0o755 });
    for (const number of [3, 5, 7, 9, 20]) {
      const path = `/proc/self/fd/${number}/program`;
      const run = await scene.victim([path]);
      const first = await command(leaking(scene.argv(["run", "-b", run.bundle, run.id])));
      const second = await command(leaking(scene.argv(["exec", container.id, path])));
      expect([first.stdout, second.stdout]).toEqual(["", ""]);
      expect([first.status, second.status]).toEqual([1, 255]);
    }
  });
});

describe("variables of the environment", () => {
  const bun = { BUN_BE_BUN: "1", BUN_OPTIONS: "--version", NODE_OPTIONS: "--version", SECRET: secret };

  test("of the caller's do not come into a container", async () => {
    const victim = await scene.victim(["env"]);
    const first = await scene.run(victim, { env: { SECRET: secret } });
    const second = await scene.exec(container.id, ["--", "env"], { env: { SECRET: secret } });
    for (const { status, stdout } of [first, second]) {
      expect([status, stdout.includes(secret)]).toEqual([0, false]);
    }
  });

  test("of a container's do not make tsd another program", async () => {
    const victim = await scene.victim(["env"], (config) => {
      config.process!.env!.push(...Object.entries(bun).map(([name, value]) => `${name}=${value}`));
    });
    const first = await scene.run(victim);
    const flags = Object.entries(bun).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
    const second = await scene.exec(container.id, [...flags, "--", "env"]);
    for (const { status, stdout } of [first, second]) {
      expect(status).toBe(0);
      for (const [name, value] of Object.entries(bun)) expect(stdout).toContain(`${name}=${value}\n`);
    }
  });

  test("of the caller's do not come into a hook", async () => {
    const report = scene.path("hook-report");
    const victim = await scene.victim(["true"], (config) => {
      const hook = {
        path: "/bin/sh",
        args: ["sh", "-c", `env > ${report}; ls -l /proc/self/fd >> ${report}`],
        env: ["PATH=/bin:/usr/bin", "OWN=1"],
      };
      config.hooks = { createRuntime: [hook] };
    });
    const { id, bundle } = victim;
    const { status } = await command(leaking(scene.argv(["run", "-b", bundle, id])), { env: { SECRET: secret } });
    expect(status).toBe(0);
    const text = readFileSync(report, "utf8");
    expect(text).toContain("OWN=1");
    expect(text).not.toContain(secret);
  });
});

describe("files beside a container", () => {
  test("a pid file is not written through a symlink that somebody has put at its temporary name", async () => {
    const directory = scene.directory("pids");
    const canary = join(outside, "canary");
    writeFileSync(canary, secret);
    symlinkSync(canary, join(directory, ".pid"));
    symlinkSync(canary, join(directory, "pid"));
    const before = treeState(outside);
    const { id, bundle } = await scene.victim(["true"]);
    const { status, stderr } = await scene.verb(["run", "--pid-file", join(directory, "pid"), "-b", bundle, id]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(readFileSync(join(directory, "pid"), "utf8")).toMatch(/^\d+$/);
    expect(treeState(outside)).toEqual(before);
    expect(lstatSync(join(directory, "pid")).isFile()).toBe(true);
  });

  test("a symlink in the state root is no container, and what it leads to stays", async () => {
    const directory = scene.directory("elsewhere");
    writeFileSync(join(directory, "state.json"), "{}");
    mkdirSync(scene.stateRoot, { recursive: true });
    symlinkSync(directory, join(scene.stateRoot, "linked"));
    const before = treeState(directory);
    expect((await scene.verb(["list", "-q"])).stdout).not.toContain("linked");
    for (const verb of [
      ["delete", "--force", "linked"],
      ["kill", "linked"],
      ["start", "linked"],
      ["exec", "linked", "true"],
    ]) {
      await scene.verb(verb);
      expect(treeState(directory)).toEqual(before);
    }
    for (const id of ["..", ".", "a/b", "../x", "", "a\\b", "a b"]) {
      const { status, stderr } = await scene.verb(["delete", "--force", id]);
      expect([status, stderr]).toEqual([1, expect.stringContaining("container id")]);
    }
    expect(treeState(directory)).toEqual(before);
  });

  test("a root file system that is itself a symlink is the directory that it leads to", async () => {
    const victim = await scene.victim(["cat", "/etc/hostname"]);
    symlinkSync(victim.rootfs, join(victim.bundle, "link"));
    scene.configure(victim, ["cat", "/etc/hostname"], (config) => {
      config.root!.path = "link";
    });
    expect((await scene.run(victim)).stdout).toBe("inside\n");
  });
});
