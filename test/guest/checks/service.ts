import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { command, succeed } from "../../harness/command.ts";
import {
  act,
  cgroupFile,
  cgroupOfProcess,
  ended,
  inspect,
  ok,
  outputOf,
  remove,
  serve,
  socket,
  start,
  systemctl,
  tsd,
  unitProperties,
  until,
} from "./guest.ts";

/** Writes a number a line, seldom enough to leave an emulated processor to others, and ends with status 3 when the file is there. */
const counter = "i=0; while [ ! -e /end ]; do echo line $i; i=$((i+1)); sleep 1; done; exit 3";

const mainPid = async () => (await unitProperties("MainPID")).MainPID!;

/** Checks that the log has every line from the first one on. @returns how many. */
async function wholeLog(id: string): Promise<number> {
  const lines = (await outputOf(id)).trimEnd().split("\n");
  expect(lines).toEqual(lines.map((_, index) => `line ${index}`));
  return lines.length;
}

describe("the systemd unit", () => {
  test("is found sound by systemd-analyze verify", async () => {
    const { status, stdout, stderr } = await command(["systemd-analyze", "verify", "tsd.service"]);
    expect(stdout + stderr).toBe("");
    expect(status).toBe(0);
  });

  test("becomes active when the daemon answers, and not before", async () => {
    expect(existsSync(socket)).toBe(false);
    await systemctl("start", "tsd");
    expect(await succeed(["curl", "-s", "--max-time", "60", "--unix-socket", socket, "http://tsd/_ping"])).toBe("OK");
    expect(await systemctl("is-active", "tsd")).toBe("active");
  });

  test("leaves containers alone when the daemon ends, has it restarted, and sets no limits of its own", async () => {
    const wanted = {
      Type: "notify",
      KillMode: "process",
      Delegate: "yes",
      Restart: "always",
      TasksMax: "infinity",
      LimitNPROC: "infinity",
      LimitCORE: "infinity",
      OOMScoreAdjust: "-500",
      PrivateMounts: "no",
    };
    expect(await unitProperties(...Object.keys(wanted))).toEqual(wanted);
    const { After = "", Wants = "" } = await unitProperties("After", "Wants");
    expect(After.split(" ")).toContain("network-online.target");
    expect(Wants.split(" ")).toContain("network-online.target");
  });

  test("has the daemon's lines in the journal, and the levels with them", async () => {
    const text = await until("the journal has the daemon's line", async () => {
      const lines = await succeed(["journalctl", "-u", "tsd", "-o", "cat", "--no-pager"]);
      return lines.includes('msg="daemon is ready"') && lines;
    });
    expect(text).toMatch(/level=info msg="daemon is ready" .*root=\/var\/lib\/tsd/);
  });
});

describe("the socket", () => {
  beforeAll(serve);

  test("is for root and for members of the group tsd", async () => {
    const { mode, uid, gid } = statSync(socket);
    expect((mode & 0o777).toString(8)).toBe("660");
    const group = (await succeed(["getent", "group", "tsd"])).split(":")[2];
    expect([uid, gid]).toEqual([0, Number(group)]);
    const asMember = await command(["setpriv", "--reuid=1000", "--regid=1000", `--groups=${group}`, "tsd", "ps", "-q"]);
    expect(asMember).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test("tells somebody else who may use it", async () => {
    const { status, stderr } = await command([
      "setpriv",
      "--reuid=1000",
      "--regid=1000",
      "--clear-groups",
      "tsd",
      "ps",
    ]);
    expect(stderr).toContain(`permission denied while trying to connect to the tsd daemon at unix://${socket}`);
    expect(stderr).toContain("a member of the group");
    expect(status).toBe(1);
  });
});

describe("a container under systemd", () => {
  let id: string;
  let pid: number;

  beforeAll(async () => {
    await serve();
    id = await start(counter, "--name", "counter", "--pids-limit", "50", "--cpuset-cpus", "0");
    await start("trap 'exit 5' TERM; sleep 1000 & echo ready; wait", "--name", "trapping");
    await until("it is ready", async () => (await outputOf("trapping")) === "ready\n");
    ({ pid } = await inspect(id).then(({ State }) => ({ pid: State.Pid })));
  });
  afterAll(() => remove("counter", "trapping"));

  /** It is the same process as ever, and nothing that it wrote is lost. */
  async function expectUntouched(): Promise<void> {
    const { State } = await inspect(id);
    expect(State).toMatchObject({ Status: "running", Pid: pid });
    const before = await wholeLog(id);
    await until("the log goes on", async () => (await wholeLog(id)) > before);
  }

  test("and its shim lie outside the unit's own cgroup, which has the daemon alone", async () => {
    expect(cgroupOfProcess(pid)).toBe(`/tsd/${id}`);
    const shim = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ")[1]!;
    expect(readFileSync(`/proc/${shim}/cmdline`, "utf8")).toContain("shim");
    expect(cgroupOfProcess(shim)).toBe("/tsd/shims");
    const unit = "/sys/fs/cgroup/system.slice/tsd.service";
    await until("the spare shim is moved out too", async () => {
      return readFileSync(`${unit}/cgroup.procs`, "utf8").trim() === (await mainPid());
    });
    expect(readdirSync(unit, { withFileTypes: true }).filter((entry) => entry.isDirectory())).toEqual([]);
  });

  test("goes on through systemctl restart, with its log whole, and can be entered", async () => {
    const before = await mainPid();
    await systemctl("restart", "tsd");
    expect(await mainPid()).not.toBe(before);
    await expectUntouched();
    expect(await ok("exec", id, "cat", "/proc/1/cmdline")).toContain("line $i");
    expect((await ok("logs", id)).split("\n").slice(0, 2)).toEqual(["line 0", "line 1"]);
  });

  test("that was started under one daemon is stopped and waited for under the next", async () => {
    const waiting = ended("trapping");
    await act("trapping", "stop");
    expect(await waiting).toBe(5);
  });

  test("goes on while the daemon is stopped, and the command line says what to do then", async () => {
    await systemctl("stop", "tsd");
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toContain("line $i");
    const { status, stderr } = await tsd(["ps"]);
    expect(stderr).toContain(`cannot connect to the tsd daemon at unix://${socket}`);
    expect(stderr).toContain("systemctl start tsd");
    expect(status).toBe(1);
    await systemctl("start", "tsd");
    await expectUntouched();
  });

  test("goes on when the daemon is killed, which systemd starts again", async () => {
    const before = await mainPid();
    process.kill(Number(before), "SIGKILL");
    await until("systemd starts the daemon again", async () => {
      const { MainPID, ActiveState } = await unitProperties("MainPID", "ActiveState");
      return MainPID !== before && MainPID !== "0" && ActiveState === "active";
    });
    await expectUntouched();
  });

  test("keeps its limits when systemd reloads its units", async () => {
    await systemctl("daemon-reload");
    expect(cgroupFile(id, "pids.max")).toBe("50");
    expect(cgroupFile(id, "cpuset.cpus.effective")).toBe("0");
  });

  test("that ends while no daemon runs has its status, and wait tells it", async () => {
    await systemctl("stop", "tsd");
    await succeed(["nsenter", "-t", String(pid), "-m", "-r", "touch", "/end"]);
    await until("the container ends", () => !existsSync(`/proc/${pid}`));
    await systemctl("start", "tsd");
    expect(await ok("wait", id)).toBe("3");
    expect((await inspect(id)).State).toMatchObject({ Status: "exited", ExitCode: 3 });
    await wholeLog(id);
  });
});
