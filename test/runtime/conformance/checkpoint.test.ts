/** checkpoint and restore: what they refuse, and what they say where criu is missing or does not work. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

describe("refused anywhere", () => {
  test("a container that does not exist, was not started, or has stopped", async () => {
    expect((await runtime.fails("checkpoint", "nosuch")).message).toContain("does not exist");
    await using created = await runtime.created();
    const { message } = await runtime.fails("checkpoint", "--image-path", runtime.path("images"), created.id);
    expect(message).toContain("cannot be checkpointed in created state");
    await using stopped = await runtime.running(["true"]);
    await runtime.waitFor(stopped.id, "stopped");
    expect((await runtime.fails("checkpoint", stopped.id)).message).toContain(
      "cannot be checkpointed in stopped state",
    );
  });

  needs("tsd")("without criu both name the package and the PATH that was searched", async () => {
    await using container = await runtime.running();
    const images = runtime.path("images");
    for (const words of [
      ["checkpoint", "--image-path", images, container.id],
      ["restore", "--image-path", images, "-b", container.bundle, "another"],
    ]) {
      const { status, stderr } = await runtime.verb(words, { env: { PATH: "/nowhere:/no/place" } });
      expect(status).toBe(1);
      expect(stderr).toContain("criu is not installed: install the package criu; looked in PATH: /nowhere:/no/place");
    }
    expect(await runtime.state(container.id)).toMatchObject({ status: "running" });
    expect([existsSync(images), runtime.traces("another")]).toEqual([false, []]);
  });

  needs("tsd")("features says whether criu works", async () => {
    const enabled = async (env?: Record<string, string>) => {
      const { stdout } = await runtime.verb(["features"], env && { env });
      return JSON.parse(stdout).annotations["org.opencontainers.runc.checkpoint.enabled"];
    };
    expect(await enabled()).toBe(String(Bun.spawnSync(["sh", "-c", "criu check"]).success));
    expect(await enabled({ PATH: "/nowhere" })).toBe("false");
  });

  const wrong: [flags: string[], message: RegExp][] = [
    [["--manage-cgroups-mode", "loose"], /invalid manage.cgroups.mode/i],
    [["--empty-ns", "mount"], /namespace "mount" is not supported/],
    [["--page-server", "nowhere"], /use --page-server ADDRESS:PORT to specify page server/i],
    [["--page-server", "::1:80"], /use --page-server ADDRESS:PORT to specify page server/i],
    [["--page-server", "localhost:http"], /invalid port number/i],
    [["--parent-path", "/absolute"], /--parent-path must be relative/],
    [["--parent-path", "missing"], /invalid --parent-path/],
  ];
  for (const [flags, message] of wrong) {
    test(`checkpoint ${flags.join(" ")}`, async () => {
      await using container = await runtime.running();
      const words = ["checkpoint", "--image-path", runtime.path("images"), ...flags, container.id];
      expect((await runtime.fails(...words)).message).toMatch(message);
      expect(await runtime.state(container.id)).toMatchObject({ status: "running" });
    });
  }

  needs("tsd")(
    "a container with mounts whose owners are mapped, which would be other ones after a restoration",
    async () => {
      const mappings = [{ containerID: 0, hostID: 1000, size: 1 }];
      const mapped = { uidMappings: mappings, gidMappings: mappings };
      await using container = await runtime.running(["sleep", "1000"], (config) => {
        config.mounts.push({
          destination: "/tmp",
          type: "bind",
          source: runtime.workspace.directory,
          options: ["bind"],
          ...mapped,
        });
      });
      const { message } = await runtime.fails("checkpoint", "--image-path", runtime.path("images"), container.id);
      expect(message).toContain("criu cannot restore the mount /tmp: the owners of its files are mapped");
      expect(await runtime.state(container.id)).toMatchObject({ status: "running" });
    },
  );

  needs("tsd")("a status-fd that nobody can write to", async () => {
    await using container = await runtime.running();
    const images = runtime.path("images");
    const words = ["checkpoint", "--lazy-pages", "--status-fd", "77", "--image-path", images, container.id];
    expect((await runtime.fails(...words)).message).toContain("invalid --status-fd argument 77");
  });

  test("a restoration under a taken name, of no images, or of an empty directory leaves nothing", async () => {
    await using taken = await runtime.running();
    const { id, bundle } = runtime.bundle(["true"]);
    const [images, none] = [runtime.path("images"), runtime.path("none")];
    mkdirSync(images);
    const fails = (path: string, name: string) => runtime.fails("restore", "-b", bundle, "--image-path", path, name);
    expect((await fails(images, taken.id)).message).toContain("already exists");
    for (const path of [images, none]) {
      const { message } = await fails(path, id);
      if (isTsd) expect(message).toContain(path);
      expect(runtime.traces(id)).toEqual([]);
    }
    expect(await runtime.state(taken.id)).toMatchObject({ status: "running" });
  });

  test("a terminal and a console socket that do not go together are refused as for run", async () => {
    const plain = runtime.bundle(["true"]);
    const terminal = runtime.bundle(["true"], (config) => {
      config.process.terminal = true;
    });
    const images = runtime.path("images");
    mkdirSync(images);
    const fails = (...words: string[]) => runtime.fails("restore", "--image-path", images, ...words);
    if (isTsd) {
      const { message } = await fails("-d", "--console-socket", "x", "-b", plain.bundle, plain.id);
      expect(message).toContain("will not detach or allocate tty");
    }
    expect((await fails("-d", "-b", terminal.bundle, terminal.id)).message).toContain("without setting console socket");
  });
});

needs("tsd")("a criu that cannot work is told of in its own words, and the container goes on", async () => {
  await using container = await runtime.running();
  const { id } = container;
  const images = runtime.path("images");
  // In place of criu's trouble with a kernel: it dies before it says anything, or while it works.
  const bin = runtime.path("bin");
  mkdirSync(bin);
  const fake = (script: string) => writeFileSync(join(bin, "criu"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const env = { PATH: `${bin}:${process.env.PATH}` };
  fake("echo 'Error (criu/test.c:1): no such luck' >&2; exit 7");
  const first = await runtime.verb(["checkpoint", "--image-path", images, id], { env });
  expect(first.status).toBe(1);
  expect(first.stderr).toContain(`checkpoint of container ${id}: criu failed: Error (criu/test.c:1): no such luck`);
  fake("kill -9 $$");
  const other = runtime.bundle(["true"]);
  const words = ["restore", "-d", "--image-path", images, "-b", other.bundle, other.id];
  const second = await runtime.verb(words, { env });
  expect(second.stderr).toContain(`restore of container ${other.id}: criu failed: no answer, killed by SIGKILL`);
  expect(runtime.traces(other.id)).toEqual([]);
  expect(await runtime.state(id)).toMatchObject({ status: "running" });
});
