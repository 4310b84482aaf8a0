/**
 * What containers and volumes may take, limited by project quotas, which the kernels that tsd is developed on do not
 * have: a daemon whose root is a file system with them, of each kind that can.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { projectUsage } from "../../../ffi/quota.ts";
import { archive, type FixtureEntry } from "../../../src/tar/tar-fixture.ts";
import { type CommandResult, command } from "../../harness/command.ts";
import { diskKinds, QuotaDisk } from "../../harness/quota-disk.ts";
import { executable, until } from "./guest.ts";

const mebibyte = 2 ** 20;
const programs = ["sh", "dd", "df", "tail", "head", "mkdir", "rm", "sleep", "wc"];
const image: FixtureEntry[] = [
  { name: "bin/" },
  { name: "bin/busybox", mode: 0o755, data: new Uint8Array(readFileSync("/bin/busybox")) },
  ...programs.map((name) => ({ name: `bin/${name}`, type: "2" as const, link: "busybox" })),
  { name: "data/" },
  { name: "data/three", data: new Uint8Array(3 * mebibyte) },
];

interface RecordedProject {
  id: number;
  directory: string;
  bytes: number;
  released: number;
}

/** What differs between them is looked at on each, what does not on one: a processor that is emulated takes its time. */
describe.each([...diskKinds])("on %s", (kind) => {
  let disk: QuotaDisk;
  let daemon: Bun.Subprocess;
  const place = mkdtempSync("/var/tmp/quota-");
  const root = join(place, "root");
  const host = `unix://${join(place, "sock")}`;

  async function start(): Promise<void> {
    // In a network of its own, where it is no neighbour of the system's.
    const argv = ["unshare", "--net", executable, "daemon", "--root", root, "--state", join(place, "s"), "-H", host];
    daemon = Bun.spawn([...argv, "--cgroup-parent", "/quota"], {
      stdout: "ignore",
      stderr: Bun.file(join(place, "log")),
    });
    await until("the daemon answers", async () => {
      if (daemon.exitCode !== null) throw new Error(readFileSync(join(place, "log"), "utf8"));
      return ask("GET", "/_ping").then(
        () => true,
        () => false,
      );
    });
  }
  async function kill(): Promise<void> {
    daemon.kill("SIGKILL");
    await daemon.exited;
  }

  const tsd = (args: string[], stdin?: Uint8Array): Promise<CommandResult> =>
    command([executable, ...args], { env: { TSD_HOST: host }, timeoutMs: 150_000, ...(stdin && { stdin }) });
  async function ok(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await tsd(args);
    if (status !== 0) throw new Error(`tsd ${args.join(" ")}: exit status ${status}\n${stdout}${stderr}`);
    return stdout.trimEnd();
  }
  /** What is no command line's business is asked for without one, which takes half a second to start here. */
  async function ask<T>(method: string, path: string): Promise<T> {
    const response = await fetch(`http://tsd${path}`, { unix: join(place, "sock"), method });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text) as T;
  }
  const remove = (name: string) => ask("DELETE", `/containers/${name}?force=1`);
  const containers = () => ask<{ Id: string }[]>("GET", "/containers/json?all=1");
  const run = (script: string, ...flags: string[]): Promise<string> =>
    ok("run", "--network", "none", ...flags, "base", "sh", "-c", script);

  function projects(): RecordedProject[] {
    using database = new Database(join(root, "metadata.db"), { readonly: true });
    return database.query<RecordedProject, []>("SELECT id, directory, bytes, released FROM quota_projects").all();
  }
  function usage(id: number): ReturnType<typeof projectUsage> {
    using directory = open(root, O_RDONLY | O_DIRECTORY);
    return projectUsage(directory, id);
  }
  const untilNoProject = () => until("all projects are given back", () => projects().length === 0);

  beforeAll(async () => {
    disk = new QuotaDisk(kind, { directory: root });
    await start();
    const { status, stderr } = await tsd(["import", "-", "base"], archive(image));
    expect([status, stderr]).toEqual([0, ""]);
  });
  afterAll(async () => {
    for (const { Id } of await containers()) await remove(Id);
    daemon.kill("SIGTERM");
    await daemon.exited;
    disk[Symbol.dispose]();
    rmSync(place, { recursive: true });
  });

  /** Size of the file system in KiB, whether all could be written, and how much was. */
  const fill = (directory: string) =>
    `cd ${directory}; df -k . | tail -n 1; dd if=/dev/zero of=big bs=1M count=40 2>&1 | head -n 1; wc -c <big`;
  function filled(output: string): { kibibytes: number; said: string; written: number } {
    const [df, said, written] = output.split("\n");
    return { kibibytes: Number(df!.split(/\s+/)[1]), said: said!, written: Number(written) };
  }
  const isFull = /No space left on device|Disk quota exceeded/i;

  if (kind === "xfs")
    test("a container writes no more than --storage-opt size, which df shows, and what it wrote can be had", async () => {
      const script = `${fill("/")}; rm big; dd if=/dev/zero of=big bs=1M count=13 2>&1 | tail -n 1`;
      const output = filled(await run(script, "--name", "first", "--storage-opt", "size=16m"));
      expect(output).toMatchObject({ kibibytes: 16 * 1024, said: expect.stringMatching(isFull) });
      expect(output.written).toBeWithin(12 * mebibyte, 16 * mebibyte + 1);
      expect(await ask("GET", "/containers/first/json")).toMatchObject({ HostConfig: { StorageOpt: { size: "16m" } } });
      const { id } = projects()[0]!;
      expect(usage(id)).toMatchObject({ limit: 16 * mebibyte });

      const more = join(place, "more");
      writeFileSync(more, new Uint8Array(5 * mebibyte));
      const copied = await tsd(["cp", more, "first:/more"]);
      expect([copied.status, copied.stderr]).toEqual([1, expect.stringMatching(isFull)]);
      await ok("commit", "first", "committed");
      await remove("first");

      // One that is full is not read-only for that when it is started again, or copied into.
      const twice = "[ -e big ] && exec rm big; dd if=/dev/zero of=big bs=4k count=4k 2>&1 | head -n 1";
      expect(await run(twice, "--name", "full", "--storage-opt", "size=4m")).toMatch(isFull);
      expect((await tsd(["cp", more, "full:/more"])).stderr).toMatch(isFull);
      expect(await ok("start", "-a", "full")).toBe("");
      await remove("full");
      await untilNoProject();
      expect(usage(id)).toEqual({ limit: 0, used: 0, inodes: 0 });
      const flags = ["--rm", "--network", "none", "--storage-opt", "size=4m"];
      const again = await ok("run", ...flags, "committed", "sh", "-c", "df -k / | tail -n 1; wc -c </big");
      expect(again.split("\n")[1]).toBe(String(13 * mebibyte));
      expect(again.split(/\s+/)[1]).toBe(String(4 * 1024));
    });

  if (kind === "ext4")
    test("the limit outlives a crash of the daemon, and holds in a user namespace and for who is privileged", async () => {
      await ok("volume", "create", "-o", "size=8m", "held");
      await ok(
        ..."run -d --name mapped -v held:/data --network none --userns auto --storage-opt size=8m base sleep 1000".split(
          " ",
        ),
      );
      await ok(..."run -d --name mighty --network none --privileged --storage-opt size=8m base sleep 1000".split(" "));
      await kill();
      await start();
      for (const name of ["mapped", "mighty"]) {
        const output = filled(await ok("exec", name, "sh", "-c", fill("/")));
        expect(output).toMatchObject({ kibibytes: 8 * 1024, said: expect.stringMatching(isFull) });
        expect(output.written).toBeLessThanOrEqual(8 * mebibyte);
      }
      expect(filled(await ok("exec", "mapped", "sh", "-c", fill("/data"))).said).toMatch(isFull);
      expect(projects()).toMatchObject([{ released: 0 }, { released: 0 }, { released: 0 }]);
      for (const name of ["mapped", "mighty"]) await remove(name);
      await ask("DELETE", "/volumes/held");
      await untilNoProject();
    });

  if (kind === "xfs")
    test("nothing is left of a container that the daemon was killed over, while it was made or removed", async () => {
      const create = ["create", "--name", "last", "--storage-opt", "size=8m", "base", "sh"];
      const created = tsd(create);
      await until("it has a project", () => projects().length > 0);
      await kill();
      await created;
      await start();
      const isMade = (await containers()).length > 0;
      if (isMade) expect(projects()).toMatchObject([{ released: 0 }]);
      else await untilNoProject();
      if (!isMade) await ok(...create);
      const removed = tsd(["rm", "last"]);
      await until("its project is given back", () => !projects().some(({ released }) => released === 0));
      await kill();
      await removed;
      await start();
      await untilNoProject();
      await expect(remove("last")).rejects.toThrow("No such container: last");
    });

  test("a volume takes no more than its size, whoever uses it, and the image's files have to fit, too", async () => {
    await ok("volume", "create", "-o", "size=8m", "small");
    const mounted = ["--rm", "-v", "small:/data"];
    const output = filled(await run(fill("/data"), ...mounted));
    expect(output).toMatchObject({ kibibytes: 8 * 1024, said: expect.stringMatching(isFull) });
    // The three that were copied from the image count.
    expect(output.written).toBeWithin(4 * mebibyte, 5 * mebibyte + 1);
    await ask("DELETE", "/volumes/small");

    const flags = ["--network", "none", "--mount", "type=volume,target=/data,volume-opt=size=2m"];
    const { status, stderr } = await tsd(["create", ...flags, "base", "sh"]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(isFull)]);
    expect(await ask("GET", "/volumes")).toMatchObject({ Volumes: [] });
    await untilNoProject();
  });

  if (kind === "ext4")
    test("a container cannot take its files, or a volume's, out of the project that limits them", async () => {
      const host = ["/usr", "/lib", "/lib64"].flatMap((path) => ["-v", `${path}:${path}:ro`]);
      const limits = ["--storage-opt", "size=8m", "--mount", "type=volume,target=/new,volume-opt=size=8m"];
      const script = (directory: string) =>
        `cd ${directory}; mkdir d; echo >f; /usr/bin/chattr -p 0 f 2>&1; /usr/bin/chattr -P d 2>&1; cd d; dd if=/dev/zero of=big bs=1M count=40 2>&1 | head -n 1`;
      const said = (await run(`${script("/")}; ${script("/new")}`, "--rm", ...host, ...limits)).split("\n");
      const refused = expect.stringContaining("Operation not permitted");
      const full = expect.stringMatching(isFull);
      expect(said).toEqual([refused, refused, full, refused, refused, full]);
      await untilNoProject();
    });
});
