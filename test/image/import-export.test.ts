/** File systems in and out as tar archives: what goes in comes out again, whatever a container does meanwhile. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { archive } from "../../src/tar/tar-fixture.ts";
import { command, commandBytes, succeed, until } from "../harness/command.ts";
import { makeBusybox } from "../harness/fixtures.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { expectSameTree } from "../harness/tree.ts";
import { tsd } from "../harness/workspace.ts";
import { ArchiveScene } from "./archive-scene.ts";
import { makeTortureTree } from "./torture-tree.ts";

let scene: ArchiveScene;
/** A small root file system with busybox, as an archive. */
let busybox: string;

beforeAll(async () => {
  scene = await ArchiveScene.open();
  const rootfs = scene.fresh("rootfs");
  mkdirSync(rootfs);
  await makeBusybox(rootfs);
  busybox = await scene.tar(rootfs);
}, 60_000);

afterAll(() => scene?.close());

afterEach(() => scene.clear());

const ok = (...args: string[]) => scene.daemon.ok(...args);

/** A container whose export takes long enough that something can happen meanwhile. */
async function runLarge(name: string): Promise<void> {
  await ok("import", busybox, "busybox:own");
  const write = ["dd", "if=/dev/zero", "of=/large", "bs=1M", "count=300"];
  await ok("run", "--name", name, "--network", "none", "busybox:own", ...write);
}

describe("a tree with everything that an archive can hold", () => {
  test("is imported and exported as it was", async () => {
    const tree = scene.fresh("torture");
    makeTortureTree(tree);
    const tar = await scene.tar(tree, "--sparse");
    // GNU tar keeps no hard links of devices and fifos: what it unpacks itself is what there is in the archive.
    const wanted = await scene.treeOf(tar);
    const id = await ok("import", tar, "torture:tree");
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expectSameTree(await scene.treeOfImage("torture:tree"), wanted);
  }, 60_000);

  test("is exported twice as the same bytes", async () => {
    const tree = scene.fresh("torture");
    makeTortureTree(tree, { plain: true });
    await ok("import", await scene.tar(tree), "torture:plain");
    await ok("create", "--name", "twice", "torture:plain", "none");
    const hashes = [];
    for (const program of ["tsd", "docker"] as const) {
      const argv = program === "tsd" ? [tsd, "export", "twice"] : ["docker", "export", "twice"];
      const { stdout, status } = await commandBytes(argv, { env: scene.daemon.env });
      expect(status).toBe(0);
      hashes.push(createHash("sha256").update(stdout).digest("hex"));
    }
    expect(hashes[1]).toBe(hashes[0]!);
  });
});

describe("the export of a running container", () => {
  test("has what it changed, and nothing that is mounted in it", async () => {
    await ok("import", busybox, "busybox:own");
    const host = scene.fresh("host");
    mkdirSync(host);
    writeFileSync(join(host, "secret"), "of the host");
    const script =
      "rm -r /home /var; echo new > /etc/new; mkdir /socket; nc -l -U /socket/s & echo x > /data/in-volume; echo y > /tmp/in-tmpfs; touch /ready; sleep 1000";
    const mounts = ["-v", "/data", "-v", `${host}:/bound`, "--tmpfs", "/tmp"];
    await ok("run", "-d", "--name", "running", "--network", "none", ...mounts, "busybox:own", "sh", "-c", script);
    await until(
      "the container is ready",
      async () => (await scene.daemon.tsd(["exec", "running", "test", "-e", "/ready"])).status === 0,
    );
    const path = scene.fresh("running.tar");
    await ok("export", "-o", path, "running");
    const names = (await succeed(["tar", "-tf", path])).split("\n");
    expect(names).toContain("etc/new");
    expect(names).toContain("bin/busybox");
    expect(
      names.filter((name) => /^(home|var|proc\/.|sys\/.|dev\/.|data\/.|bound\/.|tmp\/.|socket\/.)/.test(name)),
    ).toEqual([]);
    expect(names.filter((name) => name.startsWith("./") || name.startsWith("/"))).toEqual([]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const events = await ok(
      "events",
      "--since",
      "1m",
      "--until",
      "0s",
      "--filter",
      "event=export",
      "--format",
      "{{.Actor.Attributes.name}}",
    );
    expect(events.split("\n").at(-1)).toBe("running");
  });

  test("stays in it and whole while it exchanges directories for symlinks and files for fifos", async () => {
    await ok("import", busybox, "busybox:own");
    const script = `mkdir /a /b; for i in $(seq 300); do echo $i > /a/$i; done; touch /ready
      while :; do
        mv /a /c; ln -s / /a; rm /a; mv /c /a
        rm /a/7; mkfifo /a/7; rm /a/7; ln -s /etc/shadow /a/7; rm /a/7; head -c 300000 /dev/zero > /a/7; : > /a/7
        mkdir -p /b/x/y/z; rm -r /b/x; ln -s ../../../../../.. /b/x; rm /b/x
      done`;
    await ok("run", "-d", "--name", "hostile", "--network", "none", "busybox:own", "sh", "-c", script);
    await until(
      "the container is ready",
      async () => (await scene.daemon.tsd(["exec", "hostile", "test", "-e", "/ready"])).status === 0,
    );
    const secret = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    for (let round = 0; round < 5; round++) {
      const path = scene.fresh("hostile.tar");
      await ok("export", "-o", path, "hostile");
      const names = (await succeed(["tar", "-tf", path])).split("\n");
      expect(names).toContain("bin/busybox");
      expect(names.filter((name) => /(^|\/)\.\.(\/|$)/.test(name) || /^(proc|sys)\/./.test(name))).toEqual([]);
      expect(readFileSync(path).includes(secret)).toBe(false);
    }
  });

  test("ends when its client leaves, and with it the child that reads", async () => {
    await runLarge("large");
    const { status } = await command(["sh", "-c", `${tsd} export large | head -c 1000 | wc -c`], {
      env: scene.daemon.env,
    });
    expect(status).toBe(0);
    const packing = async () => (await command(["pgrep", "-P", String(scene.daemon.pid), "-f", "tsd pack"])).stdout;
    await until("no child packs", async () => (await packing()) === "");
  });

  test("is cut off when the container is removed meanwhile", async () => {
    await runLarge("going");
    const path = scene.fresh("going.tar");
    const exporting = command(["sh", "-c", `${tsd} export going | (head -c 1000000; ${tsd} rm going; cat) > ${path}`], {
      env: scene.daemon.env,
    });
    const { stderr } = await exporting;
    expect(stderr).toMatch(/went away in the middle|connection/);
  });
});

describe("an archive is imported", () => {
  const shell = ["--change", 'CMD ["cat", "/etc/group"]'];

  for (const [name, compress] of [
    ["as it is", (bytes: Uint8Array) => bytes],
    ["compressed with gzip", (bytes: Uint8Array) => gzipSync(bytes, { level: 1 })],
    ["compressed with zstd", (bytes: Uint8Array) => zstdCompressSync(bytes)],
  ] as const) {
    test(`${name}, from standard input`, async () => {
      const bytes = compress(readFileSync(busybox));
      const { stdout, stderr, status } = await scene.daemon.tsd(["import", ...shell, "-", "from/stdin:x"], {
        stdin: bytes,
      });
      expect([status, stderr]).toEqual([0, ""]);
      expect(await ok("run", "--rm", "--network", "none", "from/stdin:x")).toContain("root:x:0:");
      const digest = createHash("sha256").update(bytes).digest("hex");
      expect(scene.stored()).toContain(digest); // as it came
      expect(await ok("inspect", "-f", "{{.Id}}", "from/stdin:x")).toBe(stdout.trim());
    });
  }

  test("from a URL, which the daemon fetches", async () => {
    const directory = scene.fresh("www");
    mkdirSync(directory);
    copyFileSync(busybox, join(directory, "rootfs.tar"));
    const server = Bun.spawn(
      scene.workspace.inNetwork(["busybox", "httpd", "-f", "-p", "127.0.0.1:8099", "-h", directory]),
    );
    try {
      const url = "http://127.0.0.1:8099/rootfs.tar";
      await until(
        "the server answers",
        async () => (await scene.workspace.run(["busybox", "wget", "-qO", "/dev/null", url])).status === 0,
      );
      const shown = await ok("import", ...shell, url, "from/url:1");
      expect(shown.split("\n")[0]).toBe(`Downloading from ${url}`);
      expect(await ok("run", "--rm", "--network", "none", "from/url:1")).toContain("root:x:0:");
      expect(await ok("history", "--format", "{{.Comment}}", "from/url:1")).toBe(`Imported from ${url}`);
      expect(await scene.refused(["import", "http://127.0.0.1:8099/nothing.tar"])).toMatch(
        /nothing\.tar: the server answered 404/,
      );
    } finally {
      server.kill();
      await server.exited;
    }
    expect(await scene.refused(["import", "http://127.0.0.1:8099/rootfs.tar"])).toMatch(
      /download http:\/\/127\.0\.0\.1:8099\/rootfs\.tar/,
    );
  });

  test("by the docker client, with changes, a message and a platform", async () => {
    const changes = [
      "ENV A=b",
      "LABEL l=$A",
      "USER alice",
      "WORKDIR /root",
      "EXPOSE 80",
      "VOLUME /v",
      "STOPSIGNAL 9",
      'ENTRYPOINT ["/bin/sh"]',
    ];
    const flags = changes.flatMap((change) => ["-c", change]);
    const { status, stderr } = await scene.daemon.docker([
      "import",
      "-m",
      "a message",
      "--platform",
      "linux/arm64/v8",
      ...flags,
      busybox,
      "by/docker:1",
    ]);
    expect([status, stderr]).toEqual([0, ""]);
    const [image] = JSON.parse(await ok("inspect", "by/docker:1")) as [Record<string, Record<string, unknown>>];
    expect(image).toMatchObject({
      Comment: "a message",
      Architecture: "arm64",
      Os: "linux",
      Config: {
        User: "alice",
        Env: ["A=b"],
        Labels: { l: "b" },
        WorkingDir: "/root",
        ExposedPorts: { "80/tcp": {} },
        Volumes: { "/v": {} },
        StopSignal: "9",
        Entrypoint: ["/bin/sh"],
      },
    });
    const events = await ok(
      "events",
      "--since",
      "1m",
      "--until",
      "0s",
      "--filter",
      "event=import",
      "--format",
      "{{.Actor.ID}}",
    );
    expect(events.split("\n").at(-1)).toBe(String(image!.Id));
  });

  test("without a name, and under one that another image had", async () => {
    const first = await ok("import", "-m", "first", busybox);
    expect(await ok("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "--no-trunc")).toBe(
      `<none>:<none> ${first}`,
    );
    const second = await ok("import", "-m", "second", busybox, "name:1");
    const third = await ok("import", "-m", "third", busybox, "name:1");
    expect(await ok("inspect", "-f", "{{.Id}}", "name:1")).toBe(third);
    expect(await ok("inspect", "-f", "{{json .RepoTags}}", second)).toBe("[]");
  });
});

describe("nothing is left of an import of", () => {
  const cases: [string, () => Uint8Array | string, string[], RegExp][] = [
    ["nothing", () => "", [], /archive is empty/],
    ["what is no block long", () => "a name\n", [], /not a tar archive, or a truncated one: it has 7 bytes/],
    ["what is no archive", () => "x".repeat(2000), [], /not a tar archive/],
    ["half an archive", () => readFileSync(busybox).subarray(0, 100_000), [], /tar archive is truncated/],
    [
      "half a compressed archive",
      () => gzipSync(readFileSync(busybox)).subarray(0, 100_000),
      [],
      /cannot be inflated|unexpected end/,
    ],
    ["a path that climbs", () => archive([{ name: "../x" }]), [], /layer entry \.\.\/x: path leaves the root/],
    ["an archive compressed with bzip2", () => "BZh91AY&SY", [], /archive compressed with bzip2 is not supported/],
    [
      "an archive compressed with xz",
      () => Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0),
      [],
      /compressed with xz is not supported/,
    ],
    ["a change that is none", () => archive([{ name: "x" }]), ["-c", "RUN make"], /run is not a valid change command/],
    ["an unknown platform", () => archive([{ name: "x" }]), ["--platform", "a/b/c/d"], /invalid platform/],
  ];
  for (const [name, bytes, flags, message] of cases) {
    test(name, async () => {
      const before = scene.stored();
      expect(await scene.refused(["import", ...flags, "-", "some:name"], bytes())).toMatch(message);
      expect(await ok("images", "-aq")).toBe("");
      expect(scene.stored()).toEqual(before);
    });
  }

  test("an image with a name that is none", async () => {
    const before = scene.stored();
    expect(await scene.refused(["import", busybox, "Upper/Case"])).toMatch(/invalid reference format/);
    expect(await scene.refused(["import", busybox, `a@sha256:${"0".repeat(64)}`])).toMatch(
      /refusing to create a tag with a digest/,
    );
    expect(scene.stored()).toEqual(before);
  });

  test("a file that is not there, or a directory", async () => {
    expect(await scene.refused(["import", "/no/such.tar"])).toBe("open /no/such.tar: no such file or directory");
    expect(await scene.refused(["import", "/tmp"])).toMatch(/\/tmp is a directory/);
    const below = join(busybox, "x.tar");
    const reason = `ENOTDIR: not a directory, stat '${below}'`;
    expect(await scene.refused(["import", below])).toBe(`tsd import: ${reason}`);
    expect(await scene.refused(["load", "-i", below])).toBe(`tsd load: ${reason}`);
    expect(await scene.refused(["save", "-o", below, "any"])).toBe(`tsd save: ${reason}`);
  });
});

describe("an export is refused", () => {
  test("to a terminal, in docker's words", async () => {
    await using terminal = new TerminalSession([tsd, "export", "any"], { env: scene.daemon.env });
    await terminal.expect("cowardly refusing to save to a terminal. Use the -o flag or redirect");
    expect(await terminal.end()).toBe(1);
  });

  test("of an unknown container, and into a directory that is not there", async () => {
    expect(await scene.refused(["export", "nobody"])).toBe("Error response from daemon: No such container: nobody");
    const output = scene.workspace.path("none", "x.tar");
    expect(await scene.refused(["export", "-o", output, "nobody"])).toBe(
      `failed to export container: invalid output path: directory "${scene.workspace.path("none")}" does not exist`,
    );
  });

  test("leaving a file that was there as it was", async () => {
    const path = scene.fresh("kept.tar");
    writeFileSync(path, "kept");
    await scene.refused(["export", "-o", path, "nobody"]);
    expect(readFileSync(path, "utf8")).toBe("kept");
  });
});
