/** `tsd run` from an image in a real registry to an exit status. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { command, until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open({ flags: ["--add-runtime", "other=/usr/sbin/runc"] });
});
afterAll(() => engine[Symbol.asyncDispose]());

test("a Debian image that skopeo pushed is pulled and run", async () => {
  const debian = await engine.registry.push("debian");
  const result = await engine.tsd([
    "run",
    "--rm",
    debian,
    "bash",
    "-c",
    ". /etc/os-release; echo $ID $VERSION_CODENAME",
  ]);
  expect(result.status).toBe(0);
  expect(result.stdout).toBe("debian bookworm\n");
  const lines = result.stderr.split("\n");
  expect(lines[0]).toBe(`Unable to find image '${debian}:latest' locally`);
  expect(lines).toContain("latest: Pulling from debian");
  expect(result.stderr).toMatch(/^[0-9a-f]{12}: Pull complete$/m);
  expect(result.stderr).toMatch(/^Digest: sha256:[0-9a-f]{64}$/m);
  expect(lines.at(-2)).toBe(`Status: Downloaded newer image for ${debian}:latest`);
  // Dynamic linking, a real package manager's database, locales: more than a static busybox needs.
  const dpkg = await engine.tsd(["run", "--rm", debian, "dpkg-query", "-W", "base-files"]);
  expect(dpkg.stdout).toMatch(/^base-files\t12\.\S+\n$/);
});

test("the status of the command is the status of run", async () => {
  expect(await engine.run([], ["sh", "-c", "exit 7"])).toEqual({ status: 7, stdout: "", stderr: "" });
  expect(await engine.run([], ["true"])).toEqual({ status: 0, stdout: "", stderr: "" });
});

test("a command that a signal ends has status 128 and the signal's number", async () => {
  // Process 1 ignores what it has no handler for, even its own: its child is what can be killed.
  const killed = await engine.run(["--init"], ["sh", "-c", "kill -KILL $$"]);
  expect(killed.status).toBe(137);
  const terminated = await engine.run(["--init"], ["sh", "-c", "kill -TERM $$"]);
  expect(terminated.status).toBe(143);
});

test("a command that is not there has status 127, one that cannot be executed 126", async () => {
  const missing = await engine.run([], ["no-such-program"]);
  expect(missing.status).toBe(127);
  expect(missing.stderr).toContain(`exec: "no-such-program": executable file not found in $PATH`);
  const missingPath = await engine.run([], ["/no/such/program"]);
  expect(missingPath.status).toBe(127);
  expect(missingPath.stderr).toContain(`exec: "/no/such/program": stat /no/such/program: no such file or directory`);
  for (const path of ["/etc/not-executable", "/etc"]) {
    const refused = await engine.run([], [path]);
    expect(refused.status).toBe(126);
    expect(refused.stderr).toContain(`exec: "${path}": permission denied`);
  }
  await engine.untilNoTrace();
});

test("piped input reaches the command, and its end does too", async () => {
  const result = await engine.run(["-i"], ["cat"], { stdin: "hi\n" });
  expect(result).toEqual({ status: 0, stdout: "hi\n", stderr: "" });
  const without = await engine.run([], ["cat"], { stdin: "hi\n" });
  expect(without).toEqual({ status: 0, stdout: "", stderr: "" });
});

test("--rm leaves nothing, and without it the container stays", async () => {
  await engine.run([], ["true"]);
  await engine.untilNoTrace();
  const kept = await engine.tsd(["run", "--name", "kept", engine.busybox, "sh", "-c", "echo kept; exit 3"]);
  expect(kept.status).toBe(3);
  expect(await engine.inspect("kept", "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 3");
  expect(await engine.daemon.ok("logs", "kept")).toBe("kept");
  expect(await engine.daemon.ok("rm", "kept")).toBe("kept");
  await engine.untilNoTrace();
});

test("-d prints the id and leaves the container running", async () => {
  const id = await engine.start(["--name", "background"], "sleep", "1000");
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  expect(await engine.inspect("background", "{{.Id}} {{.State.Running}}")).toBe(`${id} true`);
  expect(await engine.daemon.ok("rm", "-f", "background")).toBe("background");
});

test("-d --rm removes the container when it has ended", async () => {
  const id = await engine.start(["--rm"], "sh", "-c", "exit 4");
  await engine.untilNoTrace();
  expect((await engine.tsd(["inspect", id])).status).toBe(1);
});

test("--name is the container's name, and without it two words are", async () => {
  const id = await engine.daemon.ok("create", engine.busybox);
  expect(await engine.inspect(id, "{{.Name}}")).toMatch(/^\/[a-z]+_[a-z]+$/);
  const named = await engine.daemon.ok("create", "--name", "my.name_1-x", engine.busybox);
  expect(await engine.inspect("my.name_1-x", "{{.Id}}")).toBe(named);
  await engine.daemon.ok("rm", id, named);
});

test("--cidfile takes the id", async () => {
  const path = engine.workspace.path("cid");
  const id = await engine.start(["--cidfile", path], "true");
  expect(await Bun.file(path).text()).toBe(id);
  await engine.daemon.ok("rm", "-f", id);
});

test("--pull always asks the registry, never does not, and -q says nothing of it", async () => {
  const reference = await engine.registry.push("busybox", "pulled:1");
  const never = await engine.tsd(["run", "--rm", "--pull", "never", reference, "true"]);
  expect(never.status).toBe(125);
  expect(never.stderr).toContain(`No such image: ${reference}`);
  const quiet = await engine.tsd(["run", "--rm", "-q", reference, "echo", "quiet"]);
  expect(quiet).toEqual({ status: 0, stdout: "quiet\n", stderr: "" });
  const always = await engine.tsd(["run", "--rm", "--pull", "always", reference, "echo", "again"]);
  expect(always.stdout).toBe("again\n");
  expect(always.stderr).toContain(`Status: Image is up to date for ${reference}`);
  const missing = await engine.tsd(["run", "--rm", "--pull", "missing", reference, "echo", "here"]);
  expect(missing).toEqual({ status: 0, stdout: "here\n", stderr: "" });
});

test("--platform takes the image's platform and refuses another", async () => {
  expect(await engine.sh(["--platform", "linux/amd64"], "uname -m")).toBe("x86_64");
  const other = await engine.run(["--platform", "linux/arm64"], ["true"]);
  expect(other.status).toBe(125);
  expect(other.stderr).toContain("platform (linux/amd64) does not match the specified platform (linux/arm64)");
});

test("an image runs by its tag, its digest and its id", async () => {
  const id = await engine.inspect(engine.busybox, "{{.Id}}");
  const digest = await engine.inspect(engine.busybox, "{{index .RepoDigests 0}}");
  for (const reference of [`${engine.busybox}:latest`, digest, id, id.slice("sha256:".length, 19)]) {
    const result = await engine.tsd(["run", "--rm", "--pull", "never", reference, "echo", "ran"]);
    expect(result).toEqual({ status: 0, stdout: "ran\n", stderr: "" });
  }
});

test("--runtime runs the container by another OCI runtime", async () => {
  const script = "cat /proc/self/status | grep -c CapEff; exit 9";
  const result = await engine.run(["--runtime", "other"], ["sh", "-c", script]);
  expect(result).toEqual({ status: 9, stdout: "1\n", stderr: "" });
  const id = await engine.start(["--runtime", "other"], "sleep", "1000");
  expect(await engine.inspect(id, "{{.HostConfig.Runtime}}")).toBe("other");
  const state = await command(["find", engine.daemon.state, "-name", "state.json", "-path", `*${id}*`]);
  expect(state.stdout).toContain("state.json"); // runc's own record: it was runc that ran it
  await engine.daemon.ok("rm", "-f", id);
  const byPath = await engine.run(["--runtime", "/usr/sbin/runc"], ["echo", "by path"]);
  expect(byPath).toEqual({ status: 0, stdout: "by path\n", stderr: "" });
  await engine.untilNoTrace();
});

test("fifty containers one after another leave no process behind", async () => {
  const shims = async () => (await command(["pgrep", "-f", `shim --socket ${engine.daemon.state}`])).stdout;
  for (let count = 0; count < 50; count++) await engine.run(["--network", "none"], ["true"]);
  await engine.untilNoTrace();
  await until("one spare shim is left", async () => (await shims()).trim().split("\n").length === 1);
  expect(existsSync(engine.daemon.root)).toBe(true);
});
