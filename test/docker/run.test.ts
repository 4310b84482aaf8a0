/** The unmodified docker client runs containers: streams, exit statuses, the life of a container, what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
});
afterAll(() => scene.close());

const none = ["run", "--rm", "--network", "none"];

describe("docker run", () => {
  test("has standard output and standard error apart, and the exit status", async () => {
    const result = await scene.sh("echo out; echo err >&2; exit 7");
    expect(result).toEqual({ status: 7, stdout: "out\n", stderr: "err\n" });
    const one = await scene.docker([...none, "-a", "stderr", scene.image, "sh", "-c", "echo out; echo err >&2"]);
    expect(one).toEqual({ status: 0, stdout: "", stderr: "err\n" });
  });

  test("on the bridge, the default, gives the container an address and its names", async () => {
    const run = await scene.docker([
      "run",
      "--rm",
      "--hostname",
      "named",
      scene.image,
      "sh",
      "-c",
      "hostname; hostname -i",
    ]);
    expect(run).toMatchObject({ status: 0, stderr: "" });
    expect(run.stdout).toMatch(/^named\n172\.\d+\.\d+\.\d+\n$/);
  });

  test("pulls a missing image, and says so", async () => {
    const reference = await scene.registry.push("busybox", "pulled:by-run");
    const result = await scene.docker([...none, reference, "echo", "pulled"]);
    expect(result).toMatchObject({ status: 0, stdout: "pulled\n" });
    expect(result.stderr).toContain(`Unable to find image '${reference}' locally`);
    expect(result.stderr).toContain("Downloaded newer image");
    const never = await scene.docker([...none, "--pull", "never", "absent:image", "true"]);
    expect(never.status).toBe(125);
    expect(never.stderr).toContain("No such image: absent:image");
  });

  test.each([
    [
      "a program that is not there",
      ["IMAGE", "absent-program"],
      127,
      'exec: "absent-program": executable file not found in $PATH',
    ],
    ["a path that is not there", ["IMAGE", "/absent"], 127, "no such file or directory"],
    [
      "a file that is no program",
      ["IMAGE", "/etc/not-executable"],
      126,
      'exec: "/etc/not-executable": permission denied',
    ],
    ["a directory", ["IMAGE", "/etc"], 126, 'exec: "/etc": permission denied'],
    ["a user that is not there", ["-u", "nobody-has-it", "IMAGE", "true"], 125, "unable to find user nobody-has-it"],
    ["a network that is not there", ["--network", "absent", "IMAGE", "true"], 125, "network absent not found"],
    [
      "a container's network that is not there",
      ["--network", "container:absent", "IMAGE", "true"],
      125,
      "No such container: absent",
    ],
    ["an unknown runtime", ["--runtime", "absent", "IMAGE", "true"], 125, "unknown or invalid runtime name: absent"],
    ["an unknown capability", ["--cap-add", "NOPE", "IMAGE", "true"], 125, 'unknown capability: "CAP_NOPE"'],
    ["too little memory", ["--memory", "1k", "IMAGE", "true"], 125, "Minimum memory limit allowed is 6MB"],
    ["a bad name", ["--name", "a b", "IMAGE", "true"], 125, "Invalid container name (a b)"],
    // Of dockerd's words, too, the client makes the status of a missing program.
    ["a device that is not there", ["--device", "/dev/absent", "IMAGE", "true"], 127, "/dev/absent"],
    ["an unknown restart policy", ["--restart=often", "IMAGE", "true"], 125, "unknown policy 'often'; use one of"],
    [
      "an unknown log driver",
      ["--log-driver", "absent", "IMAGE", "true"],
      125,
      'error looking up logging plugin absent: plugin "absent" not found',
    ],
    ["an unknown flag", ["--absent-flag", "IMAGE"], 125, "unknown flag: --absent-flag"],
  ])("of %s fails with docker's status and the reason, and leaves nothing", async (_what, args, status, message) => {
    const flags = args.includes("--restart=often") ? ["run"] : args.includes("--network") ? ["run", "--rm"] : none;
    const words = args.map((word) => (word === "IMAGE" ? scene.image : word));
    const result = await scene.docker([...flags, ...words]);
    expect(result.stderr).toContain(message);
    // To an error that looks like a missing image the client would pull it.
    expect(result.stderr).not.toContain("Unable to find image");
    expect(result.status).toBe(status);
    expect(await scene.ok("ps", "-aq")).toBe("");
  });

  test("tells the kernel's kill for want of memory", async () => {
    const grow = "a=x; while :; do a=$a$a; done";
    await scene.docker(["run", "--network", "none", "--name", "oom", "--memory", "8m", scene.image, "sh", "-c", grow]);
    expect(await scene.ok("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "oom")).toBe("true 137");
    await scene.ok("rm", "oom");
  });

  test("sends what is piped to it, and the end of it", async () => {
    const input = "a line\n".repeat(10_000);
    const counted = await scene.sh("wc -c; echo ended", ["-i"], { stdin: input });
    expect(counted).toEqual({ status: 0, stdout: `${input.length}\nended\n`, stderr: "" });
    const unread = await scene.sh("exec true", ["-i"], { stdin: input.repeat(30) });
    expect(unread).toEqual({ status: 0, stdout: "", stderr: "" });
    expect((await scene.sh("cat; echo ended", [], { stdin: "not sent" })).stdout).toBe("ended\n");
  });

  test("in the background prints the id, writes it to a file, and the container ends by itself", async () => {
    const file = scene.workspace.path("cid");
    const id = await scene.background("detached", "exit 4", ["--cidfile", file]);
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(readFileSync(file, "utf8")).toBe(id);
    rmSync(file);
    expect(await scene.ok("wait", "detached")).toBe("4");
    expect(await scene.ok("ps", "-a", "--format", "{{.Names}} {{.State}}")).toBe("detached exited");
    await scene.ok("rm", "detached");
  });

  test("with --rm in the background leaves nothing after the end", async () => {
    await scene.background("fleeting", "exec sleep 1000", ["--rm"]);
    const waiting = scene.ok("wait", "fleeting");
    await scene.ok("kill", "-s", "TERM", "fleeting");
    await scene.ok("kill", "fleeting");
    expect(await waiting).toBe("137");
    await until("the container is gone", async () => (await scene.ok("ps", "-aq")) === "");
  });

  test("takes another OCI runtime", async () => {
    const run = (...args: string[]) => scene.docker([...none, "--runtime", "runc", ...args]);
    expect(await run(scene.image, "sh", "-c", "echo out; echo err >&2; exit 3")).toEqual({
      status: 3,
      stdout: "out\n",
      stderr: "err\n",
    });
    const absent = await run(scene.image, "absent-program");
    expect(absent.status).toBe(127);
    expect(absent.stderr).toContain("executable file not found in $PATH");
  });

  test("forwards signals to the container", async () => {
    const script = 'trap "echo caught; exit 9" USR1; echo ready; while :; do sleep 0.02; done';
    await using live = scene.live(...none, scene.image, "sh", "-c", script);
    await live.shows("ready");
    live.kill("SIGUSR1");
    expect(await live.end()).toBe(9);
    expect(live.stdout).toBe("ready\ncaught\n");
  });
});

describe("a container's life", () => {
  test("created, started, attached, started again, with its log going on", async () => {
    const id = await scene.ok(
      "create",
      "--network",
      "none",
      "--name",
      "twice",
      scene.image,
      "sh",
      "-c",
      "echo run; exit 5",
    );
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await scene.ok("ps", "-a", "--format", "{{.Status}}", "--filter", "name=twice")).toBe("Created");
    expect(await scene.docker(["start", "-a", "twice"])).toEqual({ status: 5, stdout: "run\n", stderr: "" });
    expect(await scene.docker(["start", "-a", "twice"])).toEqual({ status: 5, stdout: "run\n", stderr: "" });
    expect(await scene.ok("logs", "twice")).toBe("run\nrun");
    expect(await scene.ok("ps", "-a", "--format", "{{.Status}}", "--filter", "name=twice")).toMatch(/^Exited \(5\) /);
    const taken = await scene.docker(["create", "--name", "twice", scene.image]);
    expect(taken.status).toBe(1);
    expect(taken.stderr).toContain(`Conflict. The container name "/twice" is already in use by container "${id}"`);
    expect(await scene.ok("rm", "twice")).toBe("twice");
  });

  test("ends by its stop signal, by SIGKILL when it does not heed it, and by kill", async () => {
    const heeding = 'trap "exit 3" TERM; while :; do sleep 0.02; done';
    await scene.background("heeding", heeding);
    await scene.background("deaf", 'trap "" TERM; while :; do sleep 0.02; done');
    await scene.background("own", 'trap "exit 6" USR2; echo ready; while :; do sleep 0.02; done', [
      "--stop-signal",
      "USR2",
    ]);
    await until("the traps are set", async () => (await scene.ok("logs", "own")) === "ready");
    expect(await scene.ok("stop", "own")).toBe("own");
    expect(await scene.ok("stop", "heeding")).toBe("heeding");
    expect(await scene.ok("stop", "-t", "0", "deaf")).toBe("deaf");
    const exits = await scene.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}");
    expect(exits).toMatch(/own Exited \(6\)/);
    expect(exits).toMatch(/heeding Exited \(3\)/);
    expect(exits).toMatch(/deaf Exited \(137\)/);
    // Stopping what is stopped is no error; killing it is.
    expect(await scene.ok("stop", "deaf")).toBe("deaf");
    const kill = await scene.docker(["kill", "deaf"]);
    expect(kill.status).toBe(1);
    expect(kill.stderr).toContain("is not running");
    const badSignal = await scene.docker(["kill", "-s", "NOPE", "deaf"]);
    expect(badSignal.stderr).toContain("invalid signal: NOPE");
    await scene.ok("rm", "own", "heeding", "deaf");
  });

  test("is not removed while it runs, unless by force", async () => {
    await scene.background("busy", "exec sleep 1000");
    const refused = await scene.docker(["rm", "busy"]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("container is running: stop the container before removing or force remove");
    expect(await scene.ok("rm", "-f", "busy")).toBe("busy");
    expect((await scene.docker(["rm", "busy"])).stderr).toContain("No such container: busy");
    expect(await scene.ok("rm", "-f", "busy")).toBe("");
  });

  test("is shown by ps with its filters and formats", async () => {
    const id = await scene.background("shown", "exec sleep 1000", ["--label", "colour=red", "--label", "bare"]);
    await scene.background("gone", "exit 3");
    await scene.ok("wait", "gone");
    const ps = (...args: string[]) => scene.ok("ps", "--format", "{{.Names}}", ...args);
    expect(await ps()).toBe("shown");
    expect(await ps("-a")).toBe("gone\nshown");
    expect(await ps("-a", "--filter", "exited=3")).toBe("gone");
    expect(await ps("-a", "--filter", "status=running")).toBe("shown");
    expect(await ps("--filter", "label=colour=red")).toBe("shown");
    expect(await ps("--filter", "label=colour=blue")).toBe("");
    expect(await ps("--filter", `ancestor=${scene.image}`)).toBe("shown");
    expect(await ps("-a", "--filter", "since=shown")).toBe("gone");
    expect(await ps("-a", "--filter", "before=gone")).toBe("shown");
    expect(await ps("-l")).toBe("gone");
    expect(await scene.ok("ps", "-q")).toBe(id.slice(0, 12));
    expect(await scene.ok("ps", "-q", "--no-trunc")).toBe(id);
    const format = '{{.Image}} {{.Command}} {{.Label "colour"}} {{.State}} {{.Networks}}';
    expect(await scene.ok("ps", "--no-trunc", "--format", format)).toBe(
      `${scene.image} "sh -c 'exec sleep 1000'" red running none`,
    );
    expect(JSON.parse(await scene.ok("ps", "--format", "json"))).toMatchObject({ Names: "shown", State: "running" });
    expect((await scene.ok("ps")).split("\n")[0]).toMatch(
      /^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES$/,
    );
    expect(await scene.ok("ps", "--size", "--format", "{{.Size}}")).toMatch(/^\S+ \(virtual \S+\)$/);
    const refused = await scene.docker(["ps", "--filter", "colour=red"]);
    expect(refused.stderr).toContain("invalid filter 'colour'");
    await scene.ok("rm", "-f", "shown", "gone");
  });

  test("is shown by inspect", async () => {
    const flags = ["-e", "A=b", "-w", "/tmp", "-u", "alice", "--memory", "64m", "--cap-add", "SYS_TIME"];
    const id = await scene.background("inspected", "exec sleep 1000", flags);
    const [shown] = JSON.parse(await scene.ok("inspect", "inspected")) as [Record<string, unknown>];
    expect(shown).toMatchObject({
      Id: id,
      Name: "/inspected",
      Path: "sh",
      Args: ["-c", "exec sleep 1000"],
      State: { Status: "running", Running: true, ExitCode: 0, OOMKilled: false, Error: "" },
      HostConfig: {
        Memory: 67108864,
        MemorySwap: 134217728,
        CapAdd: ["CAP_SYS_TIME"],
        NetworkMode: "none",
        Runtime: "tsd",
      },
      Config: { Env: ["A=b", expect.stringMatching(/^PATH=/)], WorkingDir: "/tmp", User: "alice", Image: scene.image },
    });
    const pid = await scene.ok("inspect", "-f", "{{.State.Pid}}", "inspected");
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toBe("sleep\x001000\0");
    expect(await scene.ok("inspect", "-f", "{{.State.Status}}", id.slice(0, 12))).toBe("running");
    await scene.ok("rm", "-f", "inspected");
  });
});
