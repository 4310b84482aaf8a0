/** The other commands, in short and in management form, with their tables, JSON and templates. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

function ok(...args: string[]): Promise<string> {
  return engine.daemon.ok(...args);
}

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

for (const form of ["short", "management"] as const) {
  const verb = (name: string) => (form === "short" ? [name] : ["container", name]);
  test(`a container's life in ${form} form`, async () => {
    const id = await ok(...verb("create"), "--name", "life", engine.busybox, "sh", "-c", "echo out; sleep 1000");
    expect(await engine.inspect("life", "{{.State.Status}}")).toBe("created");
    expect(await ok(...verb("start"), "life")).toBe("life");
    await engine.untilLogs("life", "out");
    expect(await ok(...verb("logs"), id)).toBe("out");
    expect(await ok(...verb("exec"), "life", "echo", "within")).toBe("within");
    const list = form === "short" ? ["ps"] : ["container", "ls"];
    expect(await ok(...list, "--format", "{{.ID}} {{.Names}}")).toBe(`${id.slice(0, 12)} life`);
    expect(JSON.parse(await ok(...(form === "short" ? ["inspect"] : ["container", "inspect"]), "life"))[0].Id).toBe(id);
    const waited = engine.tsd([...verb("wait"), "life"]);
    expect(await ok(...verb("kill"), "life")).toBe("life");
    expect((await waited).stdout).toBe("137\n");
    await ok(...verb("start"), "life");
    expect(await ok(...verb("stop"), "-t", "0", "life")).toBe("life");
    expect(await ok(...verb("rm"), "life")).toBe("life");
    expect(await ok("ps", "-aq")).toBe("");
  });
}

test("ps shows docker's table", async () => {
  const id = await engine.start(["--name", "shown"], "sleep", "1000");
  const [header = "", row = "", ...rest] = (await ok("ps")).split("\n");
  expect(rest).toEqual([]);
  expect(header.split(/ {2,}/)).toEqual(["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
  const cell = (name: string) => row.slice(header.indexOf(name)).split(/ {2,}/)[0];
  expect(cell("CONTAINER ID")).toBe(id.slice(0, 12));
  expect(cell("IMAGE")).toBe(engine.busybox);
  expect(cell("COMMAND")).toBe('"sleep 1000"');
  expect(cell("STATUS")).toMatch(/^Up (Less than a|\d+) seconds?$/);
  expect(cell("NAMES")).toBe("shown");
  await ok("rm", "-f", id);
});

test("ps filters, limits, and shows what has ended with -a", async () => {
  await engine.start(["--name", "up", "-l", "kind=a"], "sleep", "1000");
  await engine.tsd(["run", "--name", "ended", "-l", "kind=b", engine.busybox, "sh", "-c", "exit 3"]);
  await ok("create", "--name", "made", engine.busybox);
  const names = (...flags: string[]) => ok("ps", ...flags, "--format", "{{.Names}}");
  expect(await names()).toBe("up");
  expect(await names("-a")).toBe("made\nended\nup");
  expect(await names("-a", "-f", "status=exited")).toBe("ended");
  expect(await names("-a", "--filter", "exited=3")).toBe("ended");
  expect(await names("-a", "-f", "label=kind")).toBe("ended\nup");
  expect(await names("-a", "-f", "label=kind=a")).toBe("up");
  expect(await names("-a", "-f", "name=ma")).toBe("made");
  expect(await names("-l")).toBe("made");
  expect(await names("-n", "2")).toBe("made\nended");
  expect((await ok("ps", "-a", "--format", "{{.Names}} {{.Status}}")).split("\n")[1]).toMatch(
    /^ended Exited \(3\) .* ago$/,
  );
  expect(await ok("ps", "-q", "--no-trunc")).toMatch(/^[0-9a-f]{64}$/);
  const rows = jsonLines(await ok("ps", "-a", "--format", "json"));
  expect(rows.map(({ Names, State }) => [Names, State])).toEqual([
    ["made", "created"],
    ["ended", "exited"],
    ["up", "running"],
  ]);
  expect(await ok("ps", "-a", "--format", "table {{.Names}}\t{{.State}}")).toBe(
    "NAMES     STATE\nmade      created\nended     exited\nup        running",
  );
  await ok("rm", "-f", "up", "ended", "made");
});

test("exec runs as told, and has the command's status", async () => {
  const id = await engine.start(["-e", "OUTER=1"], "sleep", "1000");
  const script = "id -u; pwd; echo $OUTER $INNER; exit 6";
  const result = await engine.tsd(["exec", "-u", "alice", "-w", "/tmp", "-e", "INNER=2", id, "sh", "-c", script]);
  expect(result).toEqual({ status: 6, stdout: "1000\n/tmp\n1 2\n", stderr: "" });
  const piped = await engine.tsd(["exec", "-i", id, "cat"], { stdin: "through" });
  expect(piped).toEqual({ status: 0, stdout: "through", stderr: "" });
  const both = await engine.tsd(["exec", id, "sh", "-c", "echo out; echo err >&2; kill -9 $$"]);
  expect(both).toEqual({ status: 137, stdout: "out\n", stderr: "err\n" });
  const missing = await engine.tsd(["exec", id, "no-such-program"]);
  expect(missing.status).toBe(127);
  expect(missing.stderr + missing.stdout).toContain('exec: "no-such-program": executable file not found in $PATH');
  expect((await engine.tsd(["exec", id, "/etc/not-executable"])).status).toBe(126);
  expect(await ok("exec", "-d", id, "sh", "-c", "echo done > /tmp/flag")).toBe("");
  const flag = async () => (await engine.tsd(["exec", id, "cat", "/tmp/flag"])).stdout === "done\n";
  await until("the detached command has run", flag);
  await ok("kill", id);
  const stopped = await engine.tsd(["exec", id, "true"]);
  expect(stopped.status).toBe(1);
  expect(stopped.stderr).toContain("is not running");
  await ok("rm", id);
});

test("wait gives every container's status, also of one that ended before", async () => {
  const ended = await engine.start([], "sh", "-c", "exit 2");
  expect(await ok("wait", ended)).toBe("2");
  const other = await engine.start([], "sh", "-c", "sleep 0.2; exit 3");
  expect(await ok("wait", ended, other)).toBe("2\n3");
  await ok("rm", ended, other);
});

test("rm refuses a running container, and -f takes it", async () => {
  const id = await engine.start(["--name", "busy"], "sleep", "1000");
  const refused = await engine.tsd(["rm", "busy"]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain('cannot remove container "busy": container is running');
  expect(await ok("rm", "-f", "busy")).toBe("busy");
  const gone = await engine.tsd(["rm", "-f", id]);
  expect(gone).toEqual({ status: 0, stdout: "", stderr: `Error response from daemon: No such container: ${id}\n` });
  const several = await engine.tsd(["rm", "no-a", "no-b"]);
  expect(several.status).toBe(1);
  expect(several.stderr).toContain("no-a");
  expect(several.stderr).toContain("no-b");
});

test("a container is found by its name, its id, and as much of that as is unique", async () => {
  const id = await engine.start(["--name", "found"], "sleep", "1000");
  for (const name of ["found", "/found", id, id.slice(0, 12), id.slice(0, 6)])
    expect(await engine.inspect(name, "{{.Id}}")).toBe(id);
  await ok("rm", "-f", id);
});

test("inspect has templates, JSON, several objects and types", async () => {
  const id = await ok("create", "--name", "seen", "-e", "A=1", engine.busybox, "sh", "-c", "true");
  expect(
    await ok(
      "inspect",
      "-f",
      "{{.Name}} {{json .Config.Cmd}} {{len .Config.Env}} {{range .Config.Env}}[{{.}}]{{end}}",
      "seen",
    ),
  ).toMatch(/^\/seen \["sh","-c","true"\] 2 \[A=1\]\[PATH=.*\]$/);
  expect(JSON.parse(await ok("inspect", "--format", "json", "seen"))[0].Id).toBe(id);
  const [container, image] = JSON.parse(await ok("inspect", "seen", engine.busybox));
  expect([container.Id, image.RepoTags[0]]).toEqual([id, `${engine.busybox}:latest`]);
  expect(await ok("inspect", "--type", "image", "-f", "{{.Os}}/{{.Architecture}}", engine.busybox)).toBe("linux/amd64");
  expect(await ok("image", "inspect", "-f", "{{index .RepoTags 0}}", engine.busybox)).toBe(`${engine.busybox}:latest`);
  const wrong = await engine.tsd(["inspect", "-f", "{{.Nope}}", "seen"]);
  expect(wrong.status).toBe(1);
  expect(wrong.stderr).toContain("Nope");
  expect(wrong.stderr).not.toContain("class ");
  const partly = await engine.tsd(["inspect", "seen", "unseen"]);
  expect(partly.status).toBe(1);
  expect(JSON.parse(partly.stdout).length).toBe(1);
  expect(partly.stderr).toContain("unseen");
  await ok("rm", id);
});

test("images and rmi show and remove images, in short and management form", async () => {
  const reference = await engine.registry.push("busybox", "shelf/box:v1");
  expect(await ok("image", "pull", "-q", reference)).toBe(reference);
  const [header = "", ...rows] = (await ok("images")).split("\n");
  expect(header.split(/ {2,}/).slice(0, 3)).toEqual(["REPOSITORY", "TAG", "IMAGE ID"]);
  expect(rows.map((row) => row.split(/ {2,}/).slice(0, 2).join(":")).sort()).toEqual(
    [`${engine.busybox}:latest`, reference].sort(),
  );
  expect(await ok("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "-f", `reference=${reference}`)).toBe(
    reference,
  );
  const id = await engine.inspect(reference, "{{.Id}}");
  expect(await ok("images", "-q", "--no-trunc", reference)).toBe(id);
  const [row] = jsonLines(await ok("images", "--format", "json", reference));
  expect([row!.Repository, row!.Tag, row!.ID]).toEqual([reference.slice(0, -3), "v1", id.slice(7, 19)]);
  const used = await ok("create", reference);
  const refused = await engine.tsd(["rmi", reference]);
  // Another tag remains: only the name goes.
  expect(refused.stdout).toBe(`Untagged: ${reference}\n`);
  await ok("rm", used);
  const last = await engine.registry.push("busybox", "shelf/last:v1");
  await ok("pull", "-q", last);
  expect(await ok("image", "rm", last)).toBe(`Untagged: ${last}`);
  const missing = await engine.tsd(["rmi", last]);
  expect(missing.status).toBe(1);
  expect(missing.stderr).toContain(`No such image: ${last}`);
});

test("an image that a container uses is not removed, unless by force", async () => {
  const id = await engine.start(["--name", "user"], "sleep", "1000");
  const refused = await engine.tsd(["rmi", engine.busybox]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(new RegExp(`unable to (remove|delete).*${id.slice(0, 12)}`));
  await ok("rm", "-f", id);
  expect(await ok("rmi", engine.busybox)).toContain("Deleted: sha256:");
  await ok("pull", "-q", engine.busybox);
});

test("version and info, as text, JSON and templates, in both forms", async () => {
  const version = JSON.parse(await ok("version", "--format", "json"));
  expect(version.Client.Version).toBe(version.Server.Version);
  expect(version.Server.Components.map(({ Name }: { Name: string }) => Name)).toEqual([
    "Engine",
    "containerd",
    "runc",
    "docker-init",
  ]);
  expect(await ok("version", "-f", "{{.Server.APIVersion}}")).toBe(version.Server.ApiVersion);
  expect(await ok("version")).toMatch(/^Client: tsd\n Version: +\S+\n[\s\S]*\nServer: tsd\n/);
  for (const form of [["info"], ["system", "info"]]) {
    const info = JSON.parse(await ok(...form, "--format", "{{json .}}"));
    expect(info.DockerRootDir).toBe(engine.daemon.root);
    expect(info.Driver).toBe("overlayfs");
    expect(await ok(...form, "-f", "{{.Images}} {{.OSType}}")).toBe(`${info.Images} linux`);
    expect(await ok(...form)).toContain(` Root Dir: ${engine.daemon.root}`);
  }
  expect(await ok("--version")).toMatch(/^tsd version \S+, build \S+$/);
});

test("events tells of a container's life, filtered and as JSON, in both forms", async () => {
  const since = String(Math.floor(Date.now() / 1000) - 1);
  await engine.run(["--name", "eventful", "--network", "none"], ["sh", "-c", "exit 9"]);
  await engine.untilNoTrace();
  for (const form of [["events"], ["system", "events"]]) {
    const args = [
      ...form,
      "--since",
      since,
      "--until",
      String(Date.now() / 1000),
      "-f",
      "container=eventful",
      "-f",
      "type=container",
    ];
    const events = jsonLines(await ok(...args, "--format", "json")) as {
      Action: string;
      Actor: { Attributes: Record<string, string> };
    }[];
    expect(events.map(({ Action }) => Action)).toEqual(["create", "attach", "start", "die", "destroy"]);
    expect(events[3]!.Actor.Attributes).toMatchObject({ exitCode: "9", name: "eventful", image: engine.busybox });
    expect(await ok(...args, "-f", "event=die", "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}")).toBe(
      "die 9",
    );
    expect(await ok(...args, "-f", "event=start")).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+\S+ container start [0-9a-f]{64} \(image=.*, name=eventful\)$/,
    );
  }
});

test("called by the name docker it says docker", async () => {
  const link = engine.workspace.path("docker");
  await engine.workspace.run(["ln", "-s", tsd, link]);
  const child = Bun.spawnSync([link, "run", "--no-such-flag"], { env: { ...process.env, ...engine.daemon.env } });
  expect(child.exitCode).toBe(125);
  expect(child.stderr.toString()).toContain("Run 'docker run --help' for more information");
  const hi = Bun.spawnSync([link, "run", "--rm", engine.busybox, "echo", "hi"], {
    env: { ...process.env, ...engine.daemon.env },
  });
  expect(hi.stdout.toString()).toBe("hi\n");
});

test("help is there for every command, without a daemon", async () => {
  const env = { TSD_HOST: "unix:///nonexistent/socket" };
  const words = [
    "run",
    "create",
    "start",
    "ps",
    "logs",
    "exec",
    "attach",
    "stop",
    "kill",
    "rm",
    "wait",
    "inspect",
    "images",
    "pull",
    "push",
    "rmi",
    "tag",
    "history",
    "search",
    "save",
    "load",
    "import",
    "export",
    "commit",
    "login",
    "logout",
    "gc",
    "fsck",
    "bundle",
    "version",
    "info",
    "events",
  ];
  for (const args of [
    [],
    ...words.map((word) => [word]),
    ["container"],
    ["image"],
    ["system"],
    ["container", "run"],
    ["image", "ls"],
    ["image", "prune"],
    ["system", "df"],
    ["system", "prune"],
    ["manifest"],
    ["manifest", "create"],
    ["manifest", "annotate"],
    ["manifest", "inspect"],
    ["manifest", "push"],
    ["manifest", "rm"],
  ]) {
    const help = await engine.tsd([...args, "--help"], { env });
    expect([args, help.status, help.stderr]).toEqual([args, 0, ""]);
    expect(help.stdout).toStartWith(`Usage:  ${["tsd", ...args].join(" ")} `);
  }
});

test("-h is help, but where it is a flag or another program's", async () => {
  const env = { TSD_HOST: "unix:///nonexistent/socket" };
  for (const args of [[], ["image"], ["pull"], ["pull", "-q"], ["exec"]]) {
    const help = await engine.tsd([...args, "-h"], { env });
    expect([args, help.status, help.stdout.split(" ")[0]]).toEqual([args, 0, "Usage:"]);
  }
  expect((await engine.tsd(["run", "-h"], { env })).stderr).toStartWith("flag needs an argument: 'h' in -h");
  expect((await engine.tsd(["exec", "box", "ls", "-h"], { env })).stderr).toStartWith(
    "cannot connect to the tsd daemon",
  );
  expect((await engine.tsd(["commit", "-m", "-h", "box"], { env })).stderr).toStartWith("cannot connect");
});
