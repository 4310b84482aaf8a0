/**
 * tsd's own executable is nowhere to be had for a container: not to be run, not to be read, not to be overwritten
 * (CVE-2019-5736). What /proc/<pid>/exe leads to while a container is entered is the capsule, a sealed memfd.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command, until } from "../../harness/command.ts";
import { tsd } from "../../harness/workspace.ts";
import { perl } from "./attacker.ts";
import { allow } from "./config.ts";
import { Scene, type Victim } from "./scene.ts";

let scene: Scene;
/** The executable as it was before: what the kernel says of it, and its content. */
let before: string;
let content: Buffer;

function state(): string {
  const { ino, size, mtimeNs, ctimeNs, mode } = statSync(tsd, { bigint: true });
  return [ino, size, mtimeNs, ctimeNs, mode].join(" ");
}

beforeAll(async () => {
  before = state();
  content = readFileSync(tsd);
  scene = await Scene.open();
}, 60_000);

afterAll(async () => {
  expect(readFileSync(tsd).equals(content)).toBe(true);
  await scene?.[Symbol.asyncDispose]();
});

/** Ways to name the program that executes: as a script's interpreter, as a symlink, as itself. */
function addTraps(rootfs: string): void {
  const traps = join(rootfs, "traps");
  mkdirSync(traps);
  const links = ["self/exe", "thread-self/exe", "1/exe", ...[3, 4, 5, 6, 7, 8].map((number) => `self/fd/${number}`)];
  for (const link of links) {
    const name = link.replaceAll("/", "-");
    writeFileSync(join(traps, `script-${name}`), `#!/proc/${link}\n`);
    chmodSync(join(traps, `script-${name}`), 0o755);
    symlinkSync(`/proc/${link}`, join(traps, `link-${name}`));
  }
}

const traps = ["self-exe", "thread-self-exe", "1-exe", "self-fd-3", "self-fd-5", "self-fd-7"].flatMap((name) => [
  `/traps/script-${name}`,
  `/traps/link-${name}`,
]);

/** Whatever of tsd ran would say what it is, and what it does not understand. */
function expectNothingOfTsd(output: { status: number; stdout: string; stderr: string }): void {
  expect(output.stdout).toBe("");
  expect(output.stderr).not.toMatch(/bun|usage|unknown command|docker/i);
  expect(output.status).not.toBe(0);
}

describe("a program that is a link to the one that executes it", () => {
  test.each([...traps, "/proc/self/exe", "/proc/thread-self/exe", "/proc/self/fd/3", "/proc/self/fd/6"])(
    "%s runs nothing of tsd, as a container's",
    async (path) => {
      expectNothingOfTsd(await scene.run(await scene.victim([path, "version"], undefined, addTraps)));
      expect(state()).toBe(before);
    },
  );

  test("nor as an exec's", async () => {
    await using container = await scene.running(["sleep", "1000"], undefined, addTraps);
    for (const path of [...traps.filter((name) => !name.includes("1-exe")), "/proc/self/exe", "/proc/self/fd/4"]) {
      expectNothingOfTsd(await scene.exec(container.id, ["--", path, "version"]));
    }
    expect(state()).toBe(before);
  });
});

/** Takes hold of the program of every process that appears, and writes to it once that is over and it may be written. */
const overwrite = `
  $| = 1;
  my (%seen, @held, $last);
  $last = $$;
  print "ready\\n";
  for (my $round = 0; ; $round++) {
    if ($round % 64 == 0) {
      if (open(my $load, "<", "/proc/loadavg")) { my $line = <$load>; close($load); $last = $1 - 1 if $line =~ / (\\d+)$/ && $1 > $last; }
      for my $file (splice(@held)) {
        my ($name, $handle) = @$file;
        my $path = "/proc/self/fd/" . fileno($handle);
        # "Text file busy", as long as it runs.
        if (!open(my $out, "+<", $path)) { push @held, $file if @held < 50; }
        else {
          my $verdict = syswrite($out, "overwritten") ? "wrote" : "refused";
          print "$verdict $name\\n" unless $seen{"$verdict $name"}++;
        }
      }
    }
    for my $pid ($last + 1 .. $last + 4) {
      my $name = readlink("/proc/$pid/exe");
      next unless defined $name;
      $last = $pid if $name !~ /memfd/;
      print "held $name\\n" unless $seen{$name}++;
      if (open(my $handle, "<", "/proc/$pid/exe")) {
        # It may have become another program between the two.
        push @held, [readlink("/proc/self/fd/" . fileno($handle)), $handle];
      }
      last;
    }
  }
`;

describe("a container with CAP_SYS_PTRACE that takes hold of every program that is executed in it", () => {
  const change = (config: Parameters<typeof allow>[0]) => allow(config, "CAP_SYS_PTRACE");

  /** What it has held of programs, when some have been executed in it by `enter`. */
  async function heldOf(enter: (container: Victim) => Promise<unknown>, wanted: string): Promise<string[]> {
    await using container = await scene.running(perl(overwrite), change, (rootfs) => {
      // A program of the container's own, which is not one of the others' hard links.
      copyFileSync("/bin/busybox", join(rootfs, "own"));
    });
    await until("it is ready", () => container.output().includes("ready"));
    await until(wanted, async () => {
      await enter(container);
      return container.output().includes(wanted);
    });
    return container.output().trim().split("\n");
  }

  test("gets the capsule, to which it cannot write, and not tsd", async () => {
    const held = await heldOf(({ id }) => scene.exec(id, ["--", "/own", "true"]), "refused /memfd:tsd-init (deleted)");
    const programs = held.filter((line) => line.startsWith("held "));
    expect(programs.filter((line) => !/^held (.memfd:tsd-init .deleted.|.own)$/.test(line))).toEqual([]);
    // It may be opened, for root; its seals refuse the write (memfd_create(2), F_SEAL_WRITE).
    // Only the container's own program is there to be overwritten.
    expect(held.filter((line) => line.startsWith("wrote ") && line !== "wrote /own")).toEqual([]);
    expect(held).toContain("refused /memfd:tsd-init (deleted)");
    expect(state()).toBe(before);
  });

  test("overwrites the host's program of a naive entering, which shows that it can", async () => {
    const nsenter = scene.path("nsenter");
    copyFileSync("/usr/bin/nsenter", nsenter);
    const held = await heldOf(async ({ id }) => {
      const pid = String(await scene.pidOf(id));
      // Through a shell: once it is overwritten it is no program any more.
      await command(["sh", "-c", `"$0" "$@"; true`, nsenter, "-t", pid, "-m", "-p", "sleep", "0.02"]);
    }, `wrote ${nsenter}`);
    expect(held).toContain(`held ${nsenter}`);
    expect(readFileSync(nsenter).includes("overwritten")).toBe(true);
  });
});
