/** `--volumes-from`: what containers take over from each other, and who has it afterwards. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, statSync } from "node:fs";
import { succeed } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
let plain: string;

beforeAll(async () => {
  engine = await Engine.open();
  plain = engine.workspace.path("plain");
  mkdirSync(`${plain}/below`, { recursive: true });
  engine.workspace.onClose("the mount", () => succeed(["umount", `${plain}/below`]));
  await succeed(["mount", "-t", "tmpfs", "tmpfs", `${plain}/below`]);
  const mounts = [
    ...["-v", "named:/named", "-v", "/anonymous", "-v", `${plain}:/bind:ro`],
    ...["--mount", `type=bind,src=${plain},dst=/flat,bind-recursive=disabled`],
    ...["--mount", `type=bind,src=${plain},dst=/top,ro,bind-recursive=writable`],
    ...["--mount", "type=tmpfs,dst=/memory,tmpfs-size=2m,tmpfs-options=exec", "--tmpfs", "/its-own"],
  ];
  await engine.daemon.ok(
    "create",
    "--name",
    "giver",
    ...mounts,
    engine.busybox,
    "sh",
    "-c",
    "echo there > /anonymous/file",
  );
  await engine.daemon.ok("start", "-a", "giver");
}, 60_000);
afterAll(() => engine?.[Symbol.asyncDispose]());

function mounts(container: string): Promise<string> {
  return engine.inspect(container, "{{range .Mounts}}{{.Destination}} {{.Type}} {{.RW}};{{end}}");
}

test("all kinds of mounts come, with their options, but for --tmpfs", async () => {
  await engine.start(["--name", "heir", "--network", "none", "--volumes-from", "giver"], "sleep", "1000");
  expect((await mounts("heir")).split(";").filter(Boolean).sort()).toEqual([
    ...["/anonymous volume true", "/bind bind false", "/flat bind true", "/memory tmpfs true", "/named volume true"],
    "/top bind false",
  ]);
  const look = "cat /anonymous/file; grep -E ' /(named|anonymous|bind|flat|top|memory|its-own)' /proc/self/mountinfo";
  const [file, ...lines] = (await engine.daemon.ok("exec", "heir", "sh", "-c", look)).split("\n");
  expect(file).toBe("there");
  const shown = lines
    .map((line) =>
      line
        .replace(/^(\S+ ){4}/, "")
        .replace(/ - \S+ \S+ /, " ")
        .replace(/,discard.*/, ""),
    )
    .sort();
  expect(shown).toEqual([
    ...["/anonymous rw,relatime rw", "/bind ro,relatime rw", "/bind/below ro,relatime rw", "/flat rw,relatime rw"],
    ...["/memory rw,nosuid,nodev,relatime rw,size=2048k", "/named rw,relatime rw", "/top ro,relatime rw"],
    "/top/below rw,relatime rw",
  ]);
  await engine.daemon.ok("rm", "-f", "heir");
});

test(":ro makes all of them read-only, and :rw none writable; what the container has itself is its own", async () => {
  const flags = ["--volumes-from", "giver:ro", "-v", `${plain}:/named`, "--tmpfs", "/memory"];
  await engine.daemon.ok("create", "--name", "reader", ...flags, engine.busybox, "true");
  expect((await mounts("reader")).split(";").filter(Boolean).sort()).toEqual([
    ...["/anonymous volume false", "/bind bind false", "/flat bind false", "/named bind true", "/top bind false"],
  ]);
  // From a container that has them from another, and of two the last one's.
  await engine.daemon.ok(
    "create",
    "--name",
    "third",
    "--volumes-from",
    "giver",
    "--volumes-from",
    "reader:rw",
    engine.busybox,
  );
  expect(await mounts("third")).toContain("/anonymous volume false;");
  expect(await mounts("third")).toContain("/memory tmpfs true;");
  await engine.daemon.ok("rm", "reader", "third");
});

test("a volume is there for as long as one of them is, also an anonymous one", async () => {
  const [name, path] = (
    await engine.inspect(
      "giver",
      '{{range .Mounts}}{{if eq .Destination "/anonymous"}}{{.Name}} {{.Source}}{{end}}{{end}}',
    )
  ).split(" ");
  await engine.daemon.ok(
    "create",
    "--name",
    "second",
    "--volumes-from",
    "giver",
    engine.busybox,
    "cat",
    "/anonymous/file",
  );
  const inherited = await engine.inspect("second", "{{range .Mounts}}{{.Name}} {{end}}");
  expect(inherited).toContain(name!);
  await engine.daemon.ok("rm", "-v", "giver");
  expect(existsSync(`${path}/file`)).toBe(true);
  expect(await engine.daemon.ok("start", "-a", "second")).toBe("there");
  await engine.daemon.ok("rm", "-v", "second");
  expect(existsSync(path!)).toBe(false);
});

test("of a container in a user namespace files have the owners that each of them is to see", async () => {
  const source = `${plain}/owned`;
  mkdirSync(source, { mode: 0o777 });
  chownSync(source, 1000, 1000);
  const flags = [
    "--userns",
    "auto",
    "-v",
    "shared:/shared",
    "--mount",
    `type=bind,src=${source},dst=/owned,bind-idmap=match-user:5:6`,
  ];
  const write = "echo > /shared/file; chown 7:8 /shared/file; stat -c %u:%g /owned";
  expect(await engine.daemon.ok("run", "--name", "auto", ...flags, engine.busybox, "sh", "-c", write)).toBe("5:6");
  for (const users of ["auto", "host"]) {
    const seen = await engine.sh(["--userns", users, "--volumes-from", "auto"], "stat -c %u:%g /shared/file /owned");
    expect([users, seen]).toEqual([users, "7:8\n5:6"]);
  }
  expect(statSync(`${engine.daemon.root}/volumes/shared/_data/file`)).toMatchObject({ uid: 7, gid: 8 });
  await engine.daemon.ok("rm", "-v", "auto");
});

test("what is no container, or no mode, is refused in docker's words, and nothing is left", async () => {
  for (const [text, words] of [
    ["absent", "No such container: absent"],
    ["absent:xx", "invalid mode: xx"],
    ["absent:rshared", "invalid mode: rshared"],
    ["absent:idmap", "invalid mode: idmap"],
    ["", "volumes-from specification cannot be an empty string"],
  ] as const) {
    const { status, stderr } = await engine.run(["--volumes-from", text], ["true"]);
    expect([status, stderr]).toEqual([125, expect.stringContaining(words)]);
  }
  expect(await engine.daemon.ok("ps", "-aq")).toBe("");
});
