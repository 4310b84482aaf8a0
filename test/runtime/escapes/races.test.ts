/**
 * Races against the set-up of a container: a second container, which has the victim's volume or its whole root file
 * system too, exchanges directories, files and symlinks there without a pause (renameat2(2), RENAME_EXCHANGE) while
 * containers are started again and again. Each start may fail; none may touch the host or come by what is masked.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listenUnix } from "../../../ffi/scm.ts";
import type { RuntimeConfig } from "../../../src/oci/runtime.ts";
import { type CommandResult, command, until } from "../../harness/command.ts";
import { Random } from "../../harness/random.ts";
import { exchange, share } from "./attacker.ts";
import { Scene, secret, treeState, type Victim } from "./scene.ts";

let scene: Scene;
const random = new Random("races");

beforeAll(async () => {
  scene = await Scene.open();
}, 60_000);

afterAll(() => scene?.[Symbol.asyncDispose]());

const rounds = 25;
/** On a busy machine a race ends early rather than late. */
const raceMs = 4000;

/** A container that exchanges pairs of names in a directory of the host's for as long as the block lasts. */
async function racer(directory: string, pairs: [string, string][]): Promise<AsyncDisposable> {
  const container = await scene.running(exchange(random.below(2 ** 31), "/vol", pairs), (config) =>
    share(config, directory, "/vol"),
  );
  const [one] = pairs[0]!;
  const kinds = new Set<boolean>();
  await until("names are exchanged", () => {
    kinds.add(isSymlink(directory, one));
    return kinds.size === 2;
  });
  return container;
}

function isSymlink(directory: string, name: string): boolean {
  return readdirSync(directory, { withFileTypes: true }).some((entry) => entry.name === name && entry.isSymbolicLink());
}

/** Starts the victim again and again. @returns what came of it; there are failures and successes, as in every race. */
async function race(
  victim: Victim,
  look: (round: number) => string[],
  change: (config: RuntimeConfig, round: number) => void,
) {
  const results: CommandResult[] = [];
  const begin = performance.now();
  for (let round = 0; round < rounds && performance.now() - begin < raceMs; round++) {
    scene.configure(victim, look(round), (config) => change(config, round));
    results.push(await scene.run(victim));
  }
  expect(results.length).toBeGreaterThan(3);
  return results;
}

function outsideDirectory(): string {
  const outside = scene.directory("outside");
  for (const name of ["target", "self/attr", "sys/net/ipv4", "pts"])
    mkdirSync(join(outside, name), { recursive: true });
  for (const name of ["loot", "null", "console", "self/attr/exec", "sys/net/ipv4/ip_forward", "sysrq-trigger"]) {
    writeFileSync(join(outside, name), secret);
  }
  return outside;
}

const upTo = (path: string) => `${"../".repeat(20)}${path.slice(1)}`;

describe("a second container that exchanges a volume's directory with a symlink", () => {
  /** The volume has "dir", and "link" which leads out of the root of whoever has it mounted. */
  function volume(outside: string): string {
    const directory = scene.directory("volume");
    mkdirSync(join(directory, "dir/target"), { recursive: true });
    symlinkSync(random.below(2) === 0 ? outside : upTo(outside), join(directory, "link"));
    return directory;
  }

  test("cannot have a mount end on the host (CVE-2021-30465)", async () => {
    const outside = outsideDirectory();
    const before = treeState(outside);
    const shared = volume(outside);
    const victim = await scene.victim([]);
    await using _racer = await racer(shared, [["dir", "link"]]);
    const look = () => ["sh", "-c", "cat /proc/self/mountinfo; cat /vol/dir/target/* /vol/link/target/* /vol/*/loot"];
    const results = await race(victim, look, (config) => {
      share(config, shared, "/vol");
      config.mounts!.push({ destination: "/vol/dir/target", type: "tmpfs", source: "over-it" });
    });
    for (const { status, stdout, stderr } of results) {
      expect(stdout).not.toContain(secret);
      expect(stdout).not.toContain(outside);
      if (stdout === "") expect([status, stderr]).toEqual([1, expect.stringMatching(/mounts\[5\]/)]);
      else expect(stdout).toMatch(/ \/vol\/(dir|link)\/target .*over-it/);
    }
    expect(results.some(({ stdout }) => stdout !== "")).toBe(true);
    expect(treeState(outside)).toEqual(before);
  });

  test("cannot have files and directories made on the host (CVE-2024-45310)", async () => {
    const outside = outsideDirectory();
    const before = treeState(outside);
    const shared = volume(outside);
    const victim = await scene.victim([]);
    {
      await using _racer = await racer(shared, [["dir", "link"]]);
      await race(
        victim,
        () => ["true"],
        (config, round) => {
          share(config, shared, "/vol");
          const bind = (destination: string, source: string) =>
            config.mounts!.push({ destination, source, type: "bind", options: ["bind"] });
          bind(`/vol/dir/file-${round}`, "/etc/hostname");
          bind(`/vol/dir/new-${round}/deep/file`, "/etc/hostname");
          bind(`/vol/dir/directory-${round}/deep`, "/etc");
        },
      );
    }
    expect(treeState(outside)).toEqual(before);
    // What was made was made in the volume, where nothing moves any more.
    const made = ["dir", "link"].flatMap((name) => (isSymlink(shared, name) ? [] : readdirSync(join(shared, name))));
    expect(made.length).toBeGreaterThan(1);
  });

  test("has the host's files made by a naive mkdir, at the same paths in the same race", async () => {
    const outside = outsideDirectory();
    const before = treeState(outside).length;
    const shared = volume(outside);
    await using _racer = await racer(shared, [["dir", "link"]]);
    const naive = `i=0; until ls ${outside} | grep -q new; do i=$((i+1)); mkdir -p ${shared}/dir/new-$i; done 2>/dev/null`;
    await command(["sh", "-c", naive]);
    expect(treeState(outside).length).toBeGreaterThan(before);
  });
});

describe("a second container that has the victim's root file system", () => {
  test("cannot exchange /proc and /sys under the mounts (CVE-2019-19921, CVE-2023-27561, CVE-2023-28642)", async () => {
    const outside = outsideDirectory();
    const before = treeState(outside);
    const victim = await scene.victim([], undefined, (rootfs) => {
      mkdirSync(join(rootfs, "fake"));
      symlinkSync("/fake", join(rootfs, "proc-link"));
      symlinkSync(upTo(outside), join(rootfs, "sys-link"));
    });
    await using _racer = await racer(victim.rootfs, [
      ["proc", "proc-link"],
      ["sys", "sys-link"],
    ]);
    const script = "cat /*/loot; cat /proc/self/mountinfo /proc-link/self/mountinfo /proc/self/mountinfo";
    let seen = 0;
    const look = () => ["sh", "-c", script];
    for (const { stdout } of await race(victim, look, () => undefined)) {
      expect(stdout).not.toContain(secret);
      // Wherever the procfs is by now, /proc/sys is read-only there, and /proc/keys a mask.
      if (!stdout.includes(" - proc proc ")) continue;
      expect(stdout).toMatch(/ \/sys \/proc(-link)?\/sys ro,/);
      expect(stdout).toMatch(/ \/null \/proc(-link)?\/keys /);
      seen += 1;
    }
    expect(seen).toBeGreaterThan(0);
    expect(treeState(outside)).toEqual(before);
  });

  test("cannot have sysctls and labels written elsewhere (CVE-2025-52881)", async () => {
    const outside = outsideDirectory();
    const victim = await scene.victim([], undefined, (rootfs) => {
      mkdirSync(join(rootfs, "fake/sys/net/ipv4"), { recursive: true });
      mkdirSync(join(rootfs, "fake/self/attr"), { recursive: true });
      for (const name of ["sys/net/ipv4/ip_forward", "self/attr/exec", "sysrq-trigger"]) {
        writeFileSync(join(rootfs, "fake", name), "fake");
      }
      symlinkSync("/fake", join(rootfs, "proc-link"));
    });
    const before = [...treeState(outside), ...treeState(join(victim.rootfs, "fake"))];
    const host = await Bun.file("/proc/sys/net/ipv4/ip_forward").text();
    const wanted = host.startsWith("1") ? "0" : "1";
    await using _racer = await racer(victim.rootfs, [["proc", "proc-link"]]);
    const results = await race(
      victim,
      () => [
        "sh",
        "-c",
        `cd /; until cat proc/$file proc-link/$file | grep -qx ${wanted}; do :; done; echo ${wanted}`.replaceAll(
          "$file",
          "sys/net/ipv4/ip_forward",
        ),
      ],
      (config) => {
        config.linux!.sysctl = { "net.ipv4.ip_forward": wanted };
      },
    );
    for (const { status, stdout } of results) expect([`0 ${wanted}\n`, "1 "]).toContain(`${status} ${stdout}`);
    expect([...treeState(outside), ...treeState(join(victim.rootfs, "fake"))]).toEqual(before);
    expect(await Bun.file("/proc/sys/net/ipv4/ip_forward").text()).toBe(host);
  });

  test("cannot have something else than /dev/null mask a path (CVE-2025-31133)", async () => {
    const victim = await scene.victim([], undefined, (rootfs) => {
      rmSync(join(rootfs, "dev"), { recursive: true });
      mkdirSync(join(rootfs, "dev"));
      Bun.spawnSync(["mknod", join(rootfs, "dev/null"), "c", "1", "3"]);
      symlinkSync("/etc/loot", join(rootfs, "dev/null-link"));
      writeFileSync(join(rootfs, "etc/loot"), "loot-5d10");
      writeFileSync(join(rootfs, "etc/masked"), "masked-7c31");
    });
    await using _racer = await racer(join(victim.rootfs, "dev"), [["null", "null-link"]]);
    const results = await race(
      victim,
      () => ["sh", "-c", "echo begin; cat /etc/masked; stat -c %t:%T /etc/masked"],
      (config) => {
        config.mounts = config.mounts!.filter(({ destination }) => destination === "/proc");
        config.linux!.maskedPaths = ["/etc/masked"];
      },
    );
    for (const { status, stdout } of results) expect([`0 begin\n1:3\n`, "1 "]).toContain(`${status} ${stdout}`);
  });

  test("cannot have the terminal bound elsewhere, or something else on /dev/console (CVE-2025-52565)", async () => {
    const victim = await scene.victim([], undefined, (rootfs) => {
      mkdirSync(join(rootfs, "dev/pts"));
      symlinkSync("/etc/hostname", join(rootfs, "dev/console-link"));
      writeFileSync(join(rootfs, "dev/console"), "");
    });
    const before = treeState(join(victim.rootfs, "etc")).length;
    await using _racer = await racer(join(victim.rootfs, "dev"), [["console", "console-link"]]);
    const socket = scene.path("console.sock");
    using _listener = listenUnix(socket, 64);
    const look = ["sh", "-c", "stat -c %t /etc/hostname > /tmp/report; cat /etc/hostname >> /tmp/report"];
    for (let round = 0; round < 10; round++) {
      scene.configure(victim, look, (config) => {
        config.process!.terminal = true;
        config.mounts = config.mounts!.filter(({ destination }) => destination !== "/dev");
      });
      rmSync(join(victim.rootfs, "tmp/report"), { force: true });
      const { status, stderr } = await scene.verb([
        "run",
        "-d",
        "--console-socket",
        socket,
        "-b",
        victim.bundle,
        victim.id,
      ]);
      if (status !== 0) {
        expect(stderr).toContain("/dev/console");
        continue;
      }
      await until(
        "it has ended",
        async () => JSON.parse((await scene.verb(["state", victim.id])).stdout).status === "stopped",
      );
      await scene.remove(victim.id);
      expect(await Bun.file(join(victim.rootfs, "tmp/report")).text()).toBe("0\ninside\n");
    }
    expect(treeState(join(victim.rootfs, "etc")).length).toBe(before);
  });
});
