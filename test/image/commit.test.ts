/** Containers committed as images: the same files, docker's configuration, and a container that stands still meanwhile. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { succeed, until } from "../harness/command.ts";
import { makeBusybox } from "../harness/fixtures.ts";
import { expectSameTree } from "../harness/tree.ts";
import { ArchiveScene } from "./archive-scene.ts";
import { makeTortureTree } from "./torture-tree.ts";

let scene: ArchiveScene;
/** A root file system with busybox and every kind of file, as an archive. */
let rootfs: string;

const ok = (...args: string[]) => scene.daemon.ok(...args);

beforeAll(async () => {
  scene = await ArchiveScene.open();
  const tree = scene.fresh("rootfs");
  makeTortureTree(tree, { plain: true });
  await makeBusybox(tree);
  rootfs = await scene.tar(tree);
  await ok("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", "-c", "LABEL from=base", rootfs, "base:1");
}, 60_000);

afterAll(() => scene?.close());

afterEach(async () => {
  await scene.clear();
  await ok("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", "-c", "LABEL from=base", rootfs, "base:1");
});

/** Runs a script in a container of the image; what it leaves is for the test. */
async function changed(name: string, script: string, ...flags: string[]): Promise<void> {
  await ok("run", "--name", name, "--network", "none", ...flags, "base:1", "sh", "-ec", script);
}

interface Inspected {
  Config: Record<string, unknown>;
  Author: string;
  Comment: string;
  Architecture: string;
  RootFS: { Layers: string[] };
}

async function inspect(image: string): Promise<Inspected> {
  return (JSON.parse(await ok("inspect", "--type", "image", image)) as Inspected[])[0]!;
}

/** The container's files as an export shows them. What it was given to mount on is nothing of its own. */
async function treeOfContainer(name: string): Promise<string[]> {
  const path = scene.fresh("container.tar");
  await ok("export", "-o", path, name);
  return withoutMountPoints(await scene.treeOf(path));
}

/** And directories whose time is that of a mount point that was made in them. */
function withoutMountPoints(lines: string[]): string[] {
  return lines.filter(
    (line) => !/^"\.\/(\.dockerenv|dev|etc|proc|sys|data|(etc\/(hostname|hosts|resolv\.conf)))" /.test(line),
  );
}

describe("the image of a container has", () => {
  test("its files: new, changed, linked, deleted, replaced, of every kind", async () => {
    const script = `
      cd /plain
      echo new > new; chown 1:2 new; chmod 4711 new; touch -d @1234567890 new; ln new new-link
      mkdir -p dir/sub; chmod 1777 dir; chown 3:4 dir/sub
      rm -r directory-755; rm empty bytes-1; rm -r directory-600; mkdir directory-600; echo inside > directory-600/other
      rm -r directory-111; echo "a file now" > directory-111; rm mode-444; mkdir mode-444
      echo more >> bytes-512; chmod 600 mode-755; mv bytes-511 moved; mv directory-700 moved-directory 2>/dev/null || true
      mknod own-null c 1 3; mkfifo own-fifo; ln -s /etc/passwd own-link; ln own-fifo own-fifo-link
      rm -rf /home; mkdir /home; chmod 2755 /home
      printf '%0200d' 0 > /"$(printf 'n%.0s' $(seq 120))"
      chown 7:8 /; chmod 711 /`;
    await changed("files", script);
    const wanted = await treeOfContainer("files");
    const id = await ok("commit", "files", "committed:1");
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expectSameTree(withoutMountPoints(await scene.treeOfImage("committed:1")), wanted);
    expect(
      await ok(
        "run",
        "--rm",
        "--network",
        "none",
        "committed:1",
        "sh",
        "-c",
        "stat -c '%u:%g %a' /; ls -A /home /plain/directory-600",
      ),
    ).toBe("7:8 711\n/home:\n\n/plain/directory-600:\nother");
    // And once more upon that.
    await ok(
      "run",
      "--name",
      "again",
      "--network",
      "none",
      "committed:1",
      "sh",
      "-c",
      "rm -r /plain/dir; mkdir /plain/dir; rm /home -r",
    );
    const further = await treeOfContainer("again");
    await ok("commit", "again", "committed:2");
    expectSameTree(withoutMountPoints(await scene.treeOfImage("committed:2")), further);
    expect((await inspect("committed:2")).RootFS.Layers).toHaveLength(3);
  }, 60_000);

  test("attributes, and places for what was mounted in it with nothing of that", async () => {
    const host = scene.fresh("host");
    mkdirSync(host);
    await changed(
      "mounted",
      "echo x > /data/in-volume; echo x > /made/below/in-volume; echo y > /tmp/in-tmpfs; echo z > /bound/z; echo own > /own",
      "-v",
      "/data",
      "-v",
      "/made/below",
      "-v",
      `${host}:/bound`,
      "--tmpfs",
      "/tmp",
    );
    await ok("commit", "mounted", "mounted:1");
    const names = await layerNames("mounted:1");
    expect(names.filter((name) => !/^(etc|plain|tmp)\/$/.test(name)).sort()).toEqual(
      ["bound/", "data/", "made/", "made/below/", "own"].sort(),
    );
  });

  test("no layer of its own where nothing was changed", async () => {
    await ok("create", "--name", "unchanged", "--network", "none", "base:1", "true");
    await ok("commit", "-m", "nothing", "unchanged", "unchanged:1");
    const [base, image] = [await inspect("base:1"), await inspect("unchanged:1")];
    expect(image.RootFS).toEqual(base.RootFS);
    expect(await ok("history", "--format", "{{.Comment}}", "unchanged:1")).toMatch(/^nothing\n/);
  });

  test("the same layer when the same container is committed again", async () => {
    await changed("twice", "echo x > /file");
    await ok("commit", "twice", "twice:1");
    await ok("commit", "--no-pause", "twice", "twice:2");
    expect((await inspect("twice:2")).RootFS).toEqual((await inspect("twice:1")).RootFS);
    expect(await layerDigests("twice:2")).toEqual(await layerDigests("twice:1"));
  });

  test("the files of the embedded image below its own", async () => {
    await ok("pull", "-q", "hello");
    await ok("create", "--name", "greeting", "--network", "none", "hello");
    await ok("commit", "-c", "ENV X=y", "greeting", "greeting:1");
    const path = scene.fresh("greeting.tar");
    await ok("save", "-o", path, "greeting:1");
    await ok("rm", "greeting");
    await ok("rmi", "hello", "greeting:1");
    await ok("load", "-i", path);
    expect(await ok("run", "--rm", "--network", "none", "greeting:1")).toContain("Hello from tsd");
  }, 120_000);

  test("everything that other engines need of it", async () => {
    await changed(
      "portable",
      "rm -r /plain/directory-755; rm /plain/empty; echo x > /plain/new; rm -r /plain/directory-700 || true",
    );
    await ok("commit", "portable", "portable:1");
    const path = scene.fresh("portable.tar");
    await ok("save", "-o", path, "portable:1");
    const bundle = scene.fresh("bundle");
    const layout = scene.fresh("layout");
    await succeed(["skopeo", "--insecure-policy", "copy", "-q", `docker-archive:${path}`, `oci:${layout}:x`]);
    await ok("bundle", "-q", "portable:1", bundle);
    const names = readdirSync(join(bundle, "rootfs/plain"));
    expect(names).toContain("new");
    expect(names).not.toContain("empty");
    expect(names).not.toContain("directory-755");
  }, 60_000);
});

describe("the configuration of the image is", () => {
  test("the container's, with author, message and history", async () => {
    await changed(
      "configured",
      "echo x > /x",
      "-e",
      "A=b",
      "-w",
      "/tmp",
      "-u",
      "root",
      "--label",
      "own=yes",
      "--entrypoint",
      "",
      "--stop-signal",
      "SIGINT",
    );
    await ok("commit", "-a", "Me <me@example>", "-m", "a message", "configured", "configured:1");
    const image = await inspect("configured:1");
    expect(image).toMatchObject({ Author: "Me <me@example>", Comment: "a message" });
    expect(image.Config).toMatchObject({
      Env: ["A=b", "PATH=/bin"],
      WorkingDir: "/tmp",
      User: "root",
      Labels: { from: "base", own: "yes" },
      StopSignal: "SIGINT",
      Cmd: ["sh", "-ec", "echo x > /x"],
    });
    for (const field of ["Hostname", "Image", "AttachStdin", "Tty", "OpenStdin"])
      expect(image.Config).not.toHaveProperty(field);
    expect(await ok("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "configured:1")).toMatch(
      /^sh -ec echo x > \/x\|a message\n/,
    );
  });

  test("changed by --change", async () => {
    await changed("changing", "true");
    const changes = [
      'CMD ["a", "b"]',
      "ENV A=$PATH",
      "LABEL new=$A",
      "WORKDIR sub",
      "USER 5",
      "EXPOSE 1-2/udp",
      "VOLUME /v",
      "ONBUILD RUN x",
      "HEALTHCHECK --interval=5s CMD true",
    ];
    await ok("commit", ...changes.flatMap((change) => ["--change", change]), "changing", "changing:1");
    expect((await inspect("changing:1")).Config).toMatchObject({
      Cmd: ["a", "b"],
      Env: ["PATH=/bin", "A=/bin"],
      Labels: { from: "base", new: "/bin" },
      WorkingDir: "/sub",
      User: "5",
      ExposedPorts: { "1/udp": {}, "2/udp": {} },
      Volumes: { "/v": {} },
      OnBuild: ["RUN x"],
      Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 5e9 },
    });
    await ok("commit", "--change", 'ENTRYPOINT ["/bin/sh"]', "changing", "changing:2");
    const { Config } = await inspect("changing:2");
    expect(Config.Entrypoint).toEqual(["/bin/sh"]);
    expect(Config.Cmd ?? null).toBeNull();
  });

  test("as the docker client asks for it, in the API's JSON", async () => {
    await changed("by-docker", "true");
    const { status, stdout, stderr } = await scene.daemon.docker([
      "commit",
      "-a",
      "me",
      "-c",
      "ENV X=1",
      "by-docker",
      "by/docker:2",
    ]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(await ok("inspect", "-f", "{{.Id}}", "by/docker:2")).toBe(stdout.trim());
    const body = JSON.stringify({ Env: ["ONLY=this"], Cmd: ["x"] });
    const answer = await scene.workspace.run([
      "curl",
      "-s",
      "--unix-socket",
      scene.daemon.socket,
      "-H",
      "Content-Type: application/json",
      "-d",
      body,
      "http://x/v1.43/commit?container=by-docker&repo=by/body&tag=t",
    ]);
    expect(JSON.parse(answer.stdout)).toEqual({ Id: expect.stringMatching(/^sha256:/) });
    expect((await inspect("by/body:t")).Config).toMatchObject({ Env: ["ONLY=this", "PATH=/bin"], Cmd: ["x"] });
  });
});

describe("a running container", () => {
  /** Random bytes, which take a while to compress, and then two files that are replaced one after the other. */
  const busyWith = (bytes: number) => {
    const loop = "while :; do i=$((i+1)); for f in a b; do echo $i > /t; mv /t /$f; done; done";
    return ["sh", "-c", `head -c ${bytes} /dev/urandom > /large; touch /ready; i=0; ${loop}`];
  };
  const actions = async (name: string) =>
    (await ok("events", "--since", "1m", "--until", "0s", "--filter", `container=${name}`, "--format", "{{.Action}}"))
      .split("\n")
      .filter((action) => /pause|commit/.test(action));

  test("stands still while it is committed, and goes on", async () => {
    await ok("run", "-d", "--name", "busy", "--network", "none", "base:1", ...busyWith(4_000_000));
    await until(
      "it has begun",
      async () => (await scene.daemon.tsd(["exec", "busy", "test", "-e", "/ready"])).status === 0,
    );
    await ok("commit", "busy", "busy:1");
    expect(await actions("busy")).toEqual(["pause", "unpause", "commit"]);
    const counted = await ok("run", "--rm", "--network", "none", "busy:1", "sh", "-c", "cat /a /b");
    const [a = 0, b = 0] = counted.split("\n").map(Number);
    // Between its two writes it may have been stopped, but not further.
    expect(a - b === 0 || a - b === 1).toBe(true);
    const before = await ok("exec", "busy", "cat", "/b");
    await until("it goes on", async () => (await ok("exec", "busy", "cat", "/b")) !== before);
    await ok("commit", "--no-pause", "busy", "busy:2");
    expect(await actions("busy")).toEqual(["pause", "unpause", "commit", "commit"]);
    const both = await Promise.all([ok("commit", "busy", "busy:3"), ok("commit", "busy", "busy:4")]);
    expect(new Set(both).size).toBe(2);
  }, 60_000);

  test("goes on when the daemon is killed while it stands still", async () => {
    await ok("run", "-d", "--name", "frozen", "--network", "none", "base:1", ...busyWith(30_000_000));
    await until(
      "it has begun",
      async () => (await scene.daemon.tsd(["exec", "frozen", "test", "-e", "/ready"])).status === 0,
    );
    const committing = scene.daemon.tsd(["commit", "frozen", "frozen:1"]);
    await until("it is paused", async () => (await actions("frozen")).includes("pause"));
    await scene.daemon.stop("SIGKILL");
    expect((await committing).status).toBe(1);
    await scene.daemon.start();
    const look = async () => (await scene.daemon.tsd(["exec", "frozen", "cat", "/b"], { timeoutMs: 20_000 })).stdout;
    const before = await until("it answers", look);
    await until("it goes on", async () => (await look()) !== before);
    expect(readdirSync(join(scene.daemon.root, "content/ingest"))).toEqual([]);
    expect((await scene.daemon.tsd(["inspect", "frozen:1"])).status).toBe(1);
  }, 60_000);

  test("that is removed meanwhile makes no image", async () => {
    await ok("run", "-d", "--name", "removed", "--network", "none", "base:1", ...busyWith(30_000_000));
    await until(
      "it has begun",
      async () => (await scene.daemon.tsd(["exec", "removed", "test", "-e", "/ready"])).status === 0,
    );
    const committing = scene.daemon.tsd(["commit", "--no-pause", "removed", "removed:1"]);
    await until("it is read", () => readdirSync(join(scene.daemon.root, "content/ingest")).length > 0);
    await ok("rm", "-f", "removed");
    const { status, stderr } = await committing;
    expect([status, stderr]).toEqual([1, expect.stringMatching(/has no snapshot/)]);
    expect((await scene.daemon.tsd(["inspect", "removed:1"])).status).toBe(1);
    expect(readdirSync(join(scene.daemon.root, "content/ingest"))).toEqual([]);
  }, 60_000);
});

describe("a commit is refused", () => {
  test("in docker's words, with nothing left", async () => {
    await changed("refused", "echo x > /x");
    const before = scene.stored();
    expect(await scene.refused(["commit", "nobody"])).toBe("Error response from daemon: No such container: nobody");
    expect(await scene.refused(["commit", "refused", "Bad/Name"])).toMatch(/invalid reference format/);
    expect(await scene.refused(["commit", "refused", `x@sha256:${"0".repeat(64)}`])).toMatch(
      /refusing to create a tag with a digest/,
    );
    expect(await scene.refused(["commit", "-c", "FROM x", "refused"])).toBe(
      "Error response from daemon: from is not a valid change command",
    );
    expect((await scene.daemon.tsd(["commit", "--pause", "--no-pause", "refused"])).stderr).toMatch(
      /cannot be used together/,
    );
    expect((await scene.daemon.tsd(["commit"])).stderr).toMatch(/requires at least 1 and at most 2 arguments/);
    expect(scene.stored()).toEqual(before);
  });
});

/** The names in the topmost layer of an image. */
async function layerNames(image: string): Promise<string[]> {
  const path = scene.fresh("layer.tar");
  await ok("save", "-o", path, image);
  const blobs = await layerDigests(image);
  const listed = await succeed(["sh", "-c", `tar -xOf ${path} ${blobs.at(-1)} | tar -tz`]);
  return listed.split("\n");
}

/** As their archive names them. */
async function layerDigests(image: string): Promise<string[]> {
  const path = scene.fresh("digests.tar");
  await ok("save", "-o", path, image);
  const [entry] = JSON.parse(await succeed(["tar", "-xOf", path, "manifest.json"])) as { Layers: string[] }[];
  return entry!.Layers;
}
