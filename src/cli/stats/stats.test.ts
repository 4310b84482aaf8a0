import { describe, expect, test } from "bun:test";
import type { ContainerStats } from "../../api/schema/stats.ts";
import { fakeStats } from "../../api/testing/fake-observation.ts";
import { EngineError } from "../../core/errors.ts";
import { formatList } from "../format.ts";
import { numbersOf, plainColumns, type StatsEntry, statsColumns } from "./entry.ts";
import { StatsSource } from "./source.ts";
import { WatchedContainer } from "./watched.ts";

const id = "0123456789abcdef".repeat(4);

function entry(stats: ContainerStats = fakeStats(id, "web")): StatsEntry {
  return { container: "web", id: stats.id, name: stats.name, numbers: numbersOf(stats) };
}

describe("a row of stats", () => {
  test("has docker's columns, units and digits", () => {
    expect(
      formatList([entry()], statsColumns(true), plainColumns, "")
        .split("\n")
        .map((line) => line.trimEnd()),
    ).toEqual([
      "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O       BLOCK I/O    PIDS",
      "0123456789ab   web       50.00%    5MiB / 1GiB         0.49%     1.5kB / 2MB   4.1kB / 0B   2",
    ]);
    expect(formatList([entry()], statsColumns(false), plainColumns, "{{.Container}} {{.ID}}")).toBe(`web ${id}`);
    const unnamed = { ...entry(), container: id };
    expect(formatList([unnamed], statsColumns(true), plainColumns, "{{.Container}}")).toBe("0123456789ab");
    expect(formatList([unnamed], statsColumns(false), plainColumns, "{{.Container}}")).toBe(id);
    expect(JSON.parse(formatList([entry()], statsColumns(true), plainColumns, "json"))).toEqual({
      BlockIO: "4.1kB / 0B",
      CPUPerc: "50.00%",
      Container: "web",
      ID: "0123456789ab",
      MemPerc: "0.49%",
      MemUsage: "5MiB / 1GiB",
      Name: "web",
      NetIO: "1.5kB / 2MB",
      PIDs: "2",
    });
  });

  test("of which nothing is known says so", () => {
    const row = formatList(
      [{ container: "web", id: "", name: "" }],
      statsColumns(true),
      plainColumns,
      "{{.ID}}|{{.Name}}|{{.CPUPerc}}|{{.MemUsage}}|{{.MemPerc}}|{{.NetIO}}|{{.BlockIO}}|{{.PIDs}}",
    );
    expect(row).toBe("|--|--|-- / --|--|--|--|--");
  });

  test("counts v2's memory and CPUs, and nothing of a container that does not run", () => {
    const { cpu_stats, precpu_stats, ...rest } = fakeStats(id, "web");
    const v2 = {
      ...rest,
      cpu_stats,
      precpu_stats,
      memory_stats: { usage: 100, stats: { inactive_file: 40 }, limit: 200 },
    };
    expect(numbersOf(v2)).toMatchObject({ memoryBytes: 60, memoryLimit: 200 });
    const { online_cpus: _, ...older } = cpu_stats;
    expect(numbersOf({ ...v2, cpu_stats: older }).cpuPercent).toBe(25);
    expect(numbersOf({ ...v2, cpu_stats: precpu_stats, memory_stats: {}, pids_stats: {} })).toMatchObject({
      cpuPercent: 0,
      memoryBytes: 0,
      memoryLimit: 0,
      pids: 0,
    });
  });
});

describe("a container that is watched", () => {
  test("keeps its id and name when its samples have ended", async () => {
    const end = Promise.withResolvers<void>();
    const watched = new WatchedContainer(
      "web",
      async function* () {
        yield fakeStats(id, "web");
        await end.promise;
      },
      true,
    );
    await watched.first;
    expect(watched.entry).toEqual(entry());
    end.resolve();
    while (watched.entry.numbers !== undefined) await Bun.sleep(1);
    expect(watched.entry).toEqual({ container: "web", id, name: "/web" });
    expect(watched.failure).toBeUndefined();
  });

  test("says why nothing is known of it", async () => {
    const watched = new WatchedContainer(
      "web",
      async function* () {
        yield await Promise.reject(new Error("No such container: web"));
      },
      true,
    );
    await watched.first;
    expect(watched.failure).toEqual(new Error("No such container: web"));
    expect(watched.entry.numbers).toBeUndefined();
  });
});

describe("samples of more containers than there are streams", () => {
  /** @returns how many requests there were at once at most, and what each container's second sample was compared with. */
  async function ask(isStream: boolean) {
    let [open, most, asked] = [0, 0, 0];
    const source = new StatsSource(
      async (container, { oneShot }) => {
        most = Math.max(most, ++open);
        await Bun.sleep(1);
        open--;
        const stats = fakeStats(id, container);
        return oneShot ? { ...stats, read: String(++asked), preread: "" } : stats;
      },
      async function* (container) {
        most = Math.max(most, ++open);
        yield fakeStats(id, container);
        yield fakeStats(id, container);
        open--;
      },
      { streams: 2, connections: 3, periodMs: 5 },
    );
    const names = Array.from({ length: 20 }, (_, index) => `c${index}`);
    const found = await Promise.all(
      names.map(async (name) => {
        const left = new AbortController();
        const all: ContainerStats[] = [];
        const samples = isStream ? source.follow(name, left.signal) : source.first(name, left.signal);
        for await (const stats of samples) if (all.push(stats) === 2) break;
        left.abort();
        return all;
      }),
    );
    return { most, found };
  }

  test("come over a few connections, each with the one before", async () => {
    const { most, found } = await ask(true);
    expect(most).toBe(5);
    for (const [first, second] of found.slice(2)) expect(second!.preread).toBe(first!.read);
  });

  test("are one for each where no more are asked for", async () => {
    const { most, found } = await ask(false);
    expect(most).toBe(5);
    expect(found.map((all) => [all.length, all[0]!.preread === ""])).toEqual(found.map(() => [1, false]));
  });

  test("end with the container, and not before there was one", async () => {
    const gone = new EngineError("not_found", "No such container: web");
    let left = 2;
    const source = new StatsSource(
      async (container) => {
        if (left-- > 0) return fakeStats(id, container);
        throw gone;
      },
      () => expect.unreachable(),
      { streams: 0, connections: 1, periodMs: 1 },
    );
    const { signal } = new AbortController();
    expect(await Array.fromAsync(source.follow("web", signal))).toHaveLength(2);
    await expect(Array.fromAsync(source.follow("web", signal))).rejects.toBe(gone);
  });
});
