/**
 * The process that becomes a container's shares nothing with tsd that the container, or the kernel on its behalf, could
 * turn against tsd: no memory (and with it no oom_score_adj and no dumpable flag), no signal handler. Each of these
 * happened while plans still ran in tsd's own memory.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { succeed, until } from "../../harness/command.ts";
import { LiveCommand } from "../../harness/live.ts";
import { tsd } from "../../harness/workspace.ts";
import { perl } from "./attacker.ts";
import { allow } from "./config.ts";
import { Scene } from "./scene.ts";

let scene: Scene;

beforeAll(async () => {
  scene = await Scene.open();
}, 60_000);

afterAll(() => scene?.[Symbol.asyncDispose]());

/** Holds its cgroup at its limit: what others need there is somebody's death. */
const memoryHog = `
  $| = 1;
  print "ready\\n";
  for (;;) {
    my $child = fork();
    if (!defined($child)) { next; }
    if ($child == 0) {
      if (open(my $score, ">", "/proc/self/oom_score_adj")) { print $score "1000"; close($score); }
      my @held; for (;;) { push @held, "x" x 1048576; }
    }
    waitpid($child, 0);
  }
`;

function oomKills(id: string): number {
  const v1 = `/sys/fs/cgroup/memory${scene.workspace.cgroupParent}/${id}/memory.oom_control`;
  const v2 = `/sys/fs/cgroup${scene.workspace.cgroupParent}/${id}/memory.events`;
  const text = readFileSync(existsSync(v1) ? v1 : v2, "utf8");
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1]);
}

describe("an exec in a container that is out of memory", () => {
  test("ends by itself, and nothing outside of the container is killed", async () => {
    await using container = await scene.running(perl(memoryHog), (config) => {
      config.linux!.resources = { memory: { limit: 24 << 20, swap: 24 << 20 } };
    });
    await until("it has been out of memory", () => oomKills(container.id) > 0);
    await using bystander = new LiveCommand(["sleep", "1000"]);
    const before = oomKills(container.id);
    const statuses: number[] = [];
    for (let round = 0; round < 10; round++) {
      await using exec = new LiveCommand(scene.argv(["exec", container.id, "true"]));
      // Its own end, whatever became of the process in the container: 137 says that that one was killed.
      statuses.push(await exec.end());
      expect(exec.signal).toBeNull();
    }
    expect(oomKills(container.id)).toBeGreaterThan(before);
    expect(statuses.filter((status) => ![0, 137, 255].includes(status))).toEqual([]);
    expect(readFileSync(`/proc/${bystander.pid}/stat`, "utf8")).toContain(") S ");
  });
});

describe("what a container's process is set to be, its parent is not", () => {
  const score = (pid: number) => readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim();

  test("oom_score_adj", async () => {
    const victim = await scene.victim(["sh", "-c", "cat /proc/self/oom_score_adj; sleep 1000"], (config) => {
      config.process!.oomScoreAdj = 777;
    });
    const own = score(process.pid);
    await using run = new LiveCommand(scene.argv(["run", "-b", victim.bundle, victim.id]));
    await run.shows("777\n");
    expect(score(run.pid)).toBe(own);
    await using exec = new LiveCommand(
      scene.argv(["exec", victim.id, "sh", "-c", "cat /proc/self/oom_score_adj; sleep 1000"]),
    );
    await exec.shows("777\n");
    expect([score(exec.pid), score(run.pid)]).toEqual([own, own]);
    await scene.remove(victim.id);
  });

  test("not dumpable", async () => {
    const nobody = 65534;
    const victim = await scene.victim(["sh", "-c", "echo runs; sleep 1000"], (config) => {
      config.linux!.namespaces!.push({ type: "user" });
      config.linux!.namespaces = config.linux!.namespaces!.filter(({ type }) => type !== "network");
      config.linux!.uidMappings = [{ containerID: 0, hostID: nobody, size: 1 }];
      config.linux!.gidMappings = [{ containerID: 0, hostID: nobody, size: 1 }];
      config.mounts = config.mounts!.filter(({ destination }) => destination === "/proc");
      config.linux!.maskedPaths = [];
      config.linux!.readonlyPaths = [];
      delete config.linux!.cgroupsPath;
    });
    const state = scene.directory("state-nobody");
    for (const path of [
      state,
      victim.bundle,
      victim.rootfs,
      ...["dev", "proc"].map((name) => join(victim.rootfs, name)),
    ]) {
      chownSync(path, nobody, nobody);
    }
    const unprivileged = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", tsd, "runtime"];
    const words = [...unprivileged, "--root", state, "--rootless", "true"];
    await using run = new LiveCommand([...words, "run", "-b", victim.bundle, victim.id]);
    await run.shows("runs\n");
    // Files of /proc belong to root where the process is not dumpable, proc_pid(5).
    expect(statSync(`/proc/${run.pid}/environ`).uid).toBe(nobody);
    const [PR_SET_DUMPABLE, prctl] = [4, 157];
    const hide = perl(`$| = 1; syscall(${prctl}, ${PR_SET_DUMPABLE}, 0); print "hidden\\n"; sleep(1000);`);
    await using hidden = new LiveCommand(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...hide]);
    await hidden.shows("hidden\n");
    expect(statSync(`/proc/${hidden.pid}/environ`).uid).toBe(0);
    await succeed([...words, "delete", "--force", victim.id]);
    await run.end();
  });
});

/** Sends signals to every process that appears in the container, as often as it can. */
const signaller = `
  $| = 1;
  my ($last, @signals) = ($$, @ARGV);
  print "ready\\n";
  for (my $round = 0; ; $round++) {
    if ($round % 64 == 0 && open(my $load, "<", "/proc/loadavg")) { my $line = <$load>; close($load); $last = $1 - 1 if $line =~ / (\\d+)$/ && $1 > $last; }
    for my $pid ($last + 1 .. $last + 4) {
      my $name = readlink("/proc/$pid/exe");
      next unless defined $name;
      print "met\\n" if $name =~ /memfd:tsd-init/;
      for my $signal (@signals) { kill($signal, $pid); }
      $last = $pid if $name !~ /memfd/;
      last;
    }
  }
`;

describe("a signal to a process that is entering a container", () => {
  async function enterUnder(signals: string[], rounds: number): Promise<{ statuses: number[]; met: number }> {
    const script = [...perl(signaller), ...signals];
    await using container = await scene.running(script, (config) => allow(config, "CAP_SYS_PTRACE"));
    await until("it is ready", () => container.output().includes("ready"));
    const statuses: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await using exec = new LiveCommand(scene.argv(["exec", container.id, "true"]));
      statuses.push(await exec.end());
      // tsd passes on signals that it gets itself. Its handlers run in tsd, or nowhere.
      expect(exec.signal).toBeNull();
      expect(exec.stderr).toMatch(/^(time=.*the process was killed while it was set up.*\n)?$/);
    }
    return { statuses, met: container.output().split("met\n").length - 1 };
  }

  test("that tsd has a handler of does not arrive before the program is there", async () => {
    const { statuses, met } = await enterUnder(["WINCH", "CHLD", "URG"], 15);
    expect(met).toBeGreaterThan(0);
    expect(statuses).toEqual(statuses.map(() => 0));
  });

  test("that ends a process ends the program, and tsd tells of it", async () => {
    const { statuses, met } = await enterUnder(["TERM"], 15);
    expect(met).toBeGreaterThan(0);
    // 255: before its program was there.
    expect(statuses.filter((status) => ![0, 143, 255].includes(status))).toEqual([]);
    expect(statuses.some((status) => status !== 0)).toBe(true);
  });
});
