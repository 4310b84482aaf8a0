/** top and stats: by docker's client, by tsd's command line, and as the bytes of the API. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ContainerStats } from "../../src/api/schema/stats.ts";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { LiveCommand } from "../harness/live.ts";
import { tsd } from "../harness/workspace.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
  const limits = ["-m", "64m", "--pids-limit", "50", "--cpus", "0.2"];
  await scene.ok("run", "-d", "--name", "web", ...limits, scene.image, "sleep", "1000");
  await scene.ok("run", "-d", "--name", "joined", "--network", "container:web", scene.image, "sleep", "1001");
  await scene.ok("create", "--name", "idle", scene.image, "true");
});
afterAll(() => scene.close());

/** What docker's client and tsd print: the same, as far as their own programs' names allow. */
async function same(...args: string[]) {
  const both = await Promise.all([scene.docker(args), scene.daemon.tsd(args)]);
  const [docker, own] = both.map(({ status, stdout, stderr }) => ({ status, stdout, stderr: stderr.split("\n")[0] }));
  expect(own).toEqual(docker!);
  return docker!;
}

function get(path: string): Promise<Response> {
  return fetch(`http://tsd${path}`, { unix: scene.daemon.socket });
}

async function statsOf(name: string, query = "stream=false&one-shot=true"): Promise<ContainerStats> {
  return (await get(`/containers/${name}/stats?${query}`)).json() as Promise<ContainerStats>;
}

describe("top", () => {
  test("prints the same by both clients, whatever ps is asked for", async () => {
    const { stdout } = await same("top", "web");
    expect(stdout).toMatch(
      /^UID +PID +PPID +C +STIME +TTY +TIME +CMD\nroot +\d+ +\d+ +0 +\d\d:\d\d +\? +00:00:00 +sleep 1000\n$/,
    );
    expect((await same("top", "web", "aux")).stdout).toContain("%MEM");
    expect((await same("top", "web", "-o", "pid,args")).stdout).toMatch(/^PID +COMMAND\n\d+ +sleep 1000\n$/);
    expect((await same("top", "web", "-o", "foo")).stderr).toBe(
      'Error response from daemon: ps: error: unknown user-defined format specifier "foo"',
    );
    expect((await same("top", "web", "-o", "args")).stderr).toContain("Couldn't find PID field in ps output");
    expect((await same("top", "idle")).stderr).toMatch(/: container [0-9a-f]{64} is not running$/);
    expect((await same("top", "nobody")).stderr).toContain("No such container: nobody");
  });

  test("has every process of the container, and none of others, while it is paused too", async () => {
    await scene.ok("exec", "-d", "web", "sleep", "2000");
    const commands = async () => {
      const answer = (await (await get("/v1.24/containers/web/top?ps_args=-o+pid,args")).json()) as {
        Processes: string[][];
      };
      return answer.Processes.map(([, command]) => command);
    };
    await until("both processes run", async () => (await commands()).length === 2);
    await scene.ok("pause", "web");
    expect((await commands()).sort()).toEqual(["sleep 1000", "sleep 2000"]);
    await scene.ok("unpause", "web");
  });
});

describe("stats", () => {
  test("have docker's fields in docker's order, with the container's limits", async () => {
    const text = await (await get("/containers/web/stats?stream=0&one-shot=1")).text();
    expect(text.endsWith("}\n")).toBe(true);
    const stats = JSON.parse(text) as ContainerStats;
    expect(Object.keys(stats).join(" ")).toBe(
      "id name os_type read cpu_stats memory_stats networks pids_stats blkio_stats num_procs storage_stats preread precpu_stats",
    );
    expect(stats).toMatchObject({ name: "/web", os_type: "linux", preread: "0001-01-01T00:00:00Z", num_procs: 0 });
    expect(Date.now() - Date.parse(stats.read)).toBeLessThan(10_000);
    expect(stats.memory_stats.limit).toBe(64 * 2 ** 20);
    expect(stats.memory_stats.usage).toBeGreaterThan(0);
    expect(stats.pids_stats).toEqual({ current: expect.any(Number), limit: 50 });
    expect(stats.cpu_stats.online_cpus).toBe(navigator.hardwareConcurrency);
    expect(stats.cpu_stats.system_cpu_usage).toBeGreaterThan(stats.cpu_stats.cpu_usage.total_usage);
    expect(Object.keys(stats.networks!)).toEqual(["eth0"]);
  });

  test("count what a container does: its time, its packets, the periods of its limit", async () => {
    const before = await statsOf("web");
    await scene.ok(
      "exec",
      "web",
      "sh",
      "-c",
      "ping -c 1 -W 1 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'); i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done",
    );
    const after = await statsOf("web");
    expect(after.cpu_stats.cpu_usage.total_usage).toBeGreaterThan(before.cpu_stats.cpu_usage.total_usage + 5e6);
    // How often it was held back depends on what else the machine does.
    expect(after.cpu_stats.throttling_data.periods).toBeGreaterThan(0);
    expect(after.networks!.eth0!.tx_bytes).toBeGreaterThan(before.networks!.eth0!.tx_bytes);
    // It shows what it shares.
    expect((await statsOf("joined")).networks!.eth0!.tx_bytes).toBeGreaterThanOrEqual(after.networks!.eth0!.tx_bytes);
  });

  test("of a container that does not run are zeros, and of none are refused", async () => {
    expect(await statsOf("idle", "stream=false")).toMatchObject({
      name: "/idle",
      read: "0001-01-01T00:00:00Z",
      memory_stats: {},
      blkio_stats: { io_service_bytes_recursive: null },
    });
    expect((await get("/containers/nobody/stats")).status).toBe(404);
    const both = await get("/containers/web/stats?one-shot=1");
    expect([both.status, await both.text()]).toEqual([
      400,
      expect.stringContaining("cannot have stream=true and one-shot=true"),
    ]);
    // One that does not know the parameter gets its sample with another before it.
    expect((await get("/v1.40/containers/web/stats?stream=0&one-shot=1")).status).toBe(200);
  });

  test("are listed once by both clients alike", async () => {
    const names = "{{.Name}} {{.Container}} {{.ID}} {{.PIDs}} {{.MemUsage}}";
    const [docker, own] = await Promise.all([
      scene.ok("stats", "--no-stream", "--all", "--format", names),
      scene.daemon.ok("stats", "--no-stream", "--all", "--format", names),
    ]);
    const columns = (text: string) =>
      text
        .split("\n")
        .map((line) => line.replace(/[\d.]+[KM]iB \//, "USED /"))
        .sort();
    expect(columns(own)).toEqual(columns(docker));
    expect(columns(own)).toHaveLength(3);
    const { stdout } = await scene.daemon.tsd(["stats", "--no-stream", "web", "idle"]);
    expect(stdout).toMatch(/^CONTAINER ID +NAME +CPU % +MEM USAGE \/ LIMIT +MEM % +NET I\/O +BLOCK I\/O +PIDS\n/);
    expect(stdout).toMatch(/\n[0-9a-f]{12} +idle +0\.00% +0B \/ 0B +0\.00% +0B \/ 0B +0B \/ 0B +0\n$/);
    expect((await same("stats", "--no-stream", "nobody", "web")).stderr).toContain("No such container: nobody");
  });

  test("on a terminal follow the containers that come and go", async () => {
    await using live = new LiveCommand([tsd, "stats", "--format", "table {{.Name}}\t{{.PIDs}}"], scene.daemon.env);
    const shown = () => {
      const drawn = live.stdout.slice(0, live.stdout.lastIndexOf("\x1b[J")).split("\x1b[H").at(-1)!;
      return drawn.split("\x1b[K\n").map((line) => line.split(" ")[0]);
    };
    await live.shows("joined");
    expect(live.stdout.startsWith("\x1b[HNAME")).toBe(true);
    expect(shown()).not.toContain("idle");
    await scene.ok("run", "-d", "--name", "late", "--network", "none", scene.image, "sleep", "1000");
    await until("the new one is shown", () => shown().includes("late"));
    await scene.ok("rm", "-f", "late");
    await until("it has gone", () => !shown().includes("late"));
  });

  test("that stream go on with zeros after the container's end, until it is removed", async () => {
    await scene.ok("run", "-d", "--name", "ending", "--network", "none", scene.image, "sleep", "1000");
    await using live = new LiveCommand([
      "curl",
      "-sN",
      "--unix-socket",
      scene.daemon.socket,
      "http://tsd/containers/ending/stats",
    ]);
    const lines = () =>
      live.stdout
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as ContainerStats);
    await until("it is seen running", () => (lines().at(-1)?.pids_stats.current ?? 0) > 0);
    await scene.ok("kill", "ending");
    await until("it is seen ended", () => lines().at(-1)!.pids_stats.current === undefined);
    expect(lines().at(-1)).toMatchObject({ name: "/ending", read: "0001-01-01T00:00:00Z" });
    await scene.ok("rm", "ending");
    expect(await live.end()).toBe(0);
  });
});
