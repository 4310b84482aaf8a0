/**
 * As whom, and with which capabilities, a process runs: CVE-2022-29162 (runc) and CVE-2022-27650 (crun) left
 * capabilities in the inheritable set, CVE-2026-30892 (crun) read `exec -u` as another user than the one that was named.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RuntimeConfig } from "../../../src/oci/runtime.ts";
import { perl } from "./attacker.ts";
import { Scene, type Victim } from "./scene.ts";

let scene: Scene;
let container: Victim & AsyncDisposable;

const capabilities = ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN"];

function privileged(config: RuntimeConfig): void {
  config.process!.capabilities = { bounding: capabilities, effective: capabilities, permitted: capabilities };
}

/**
 * A program that gets CAP_SYS_ADMIN when it is in the inheritable set of who executes it, whoever that is: the file's
 * own inheritable capabilities, capabilities(7), "struct vfs_cap_data".
 */
function addInheritor(rootfs: string): void {
  const path = join(rootfs, "inheritor/busybox");
  mkdirSync(dirname(path));
  copyFileSync("/bin/busybox", path);
  const [revision, effective, sysAdmin] = [0x02000000, 1, 1 << 21];
  const data = [revision | effective, 0, sysAdmin, 0, 0];
  const set = perl(
    'my ($path, @words) = @ARGV; my ($name, $data) = ("security.capability", pack("V5", @words)); exit(syscall(188, $path, $name, $data, 20, 0) == 0 ? 0 : 1);',
  );
  const { exitCode } = Bun.spawnSync([...set, path, ...data.map(String)]);
  if (exitCode !== 0) throw new Error("setxattr failed");
}

beforeAll(async () => {
  scene = await Scene.open();
  container = await scene.running(["sleep", "1000"], privileged, addInheritor);
}, 60_000);

afterAll(async () => {
  await container?.[Symbol.asyncDispose]();
  await scene?.[Symbol.asyncDispose]();
});

const showSets = ["grep", "-E", "^Cap(Inh|Prm|Eff|Amb)", "/proc/self/status"];
const inherit = ["/inheritor/busybox", ...showSets];
const none = "0000000000000000";

function sets(stdout: string): Record<string, string> {
  return Object.fromEntries(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(":\t") as [string, string]),
  );
}

describe("no unprivileged process inherits capabilities", () => {
  test("of a container's first process (CVE-2022-29162)", async () => {
    const root = await scene.victim(showSets, privileged);
    expect(sets((await scene.run(root)).stdout)).toMatchObject({ CapInh: none, CapAmb: none });
    const alice = (config: RuntimeConfig) => {
      privileged(config);
      config.process!.user = { uid: 1000, gid: 1000 };
    };
    const { stdout } = await scene.run(await scene.victim(inherit, alice, addInheritor));
    expect(sets(stdout)).toEqual({ CapInh: none, CapPrm: none, CapEff: none, CapAmb: none });
  });

  test("of an exec, with or without --cap (CVE-2022-27650, CVE-2022-29162)", async () => {
    for (const flags of [[], ["--cap", "CAP_SYS_ADMIN"], ["--cap", "CAP_NET_ADMIN"]]) {
      const root = await scene.exec(container.id, [...flags, "--", ...showSets]);
      expect(sets(root.stdout)).toMatchObject({ CapInh: none, CapAmb: none });
      const alice = await scene.exec(container.id, [...flags, "-u", "1000:1000", "--", ...inherit]);
      expect(sets(alice.stdout)).toEqual({ CapInh: none, CapPrm: none, CapEff: none, CapAmb: none });
    }
  });

  test("unless config.json says so, which shows that the program would", async () => {
    const inheriting = (config: RuntimeConfig) => {
      privileged(config);
      config.process!.user = { uid: 1000, gid: 1000 };
      config.process!.capabilities!.inheritable = ["CAP_SYS_ADMIN"];
    };
    const { stdout } = await scene.run(await scene.victim(inherit, inheriting, addInheritor));
    expect(sets(stdout)).toMatchObject({ CapPrm: "0000000000200000", CapEff: "0000000000200000" });
  });
});

describe("exec -u runs as the user that was named, or not at all (CVE-2026-30892)", () => {
  const show = ["sh", "-c", "grep -E '^[UG]id' /proc/self/status; touch /tmp/ran"];
  const ran = () => Bun.file(join(container.rootfs, "tmp/ran")).exists();

  test.each([
    ["1000", "1000", "0"],
    ["1000:100", "1000", "100"],
    ["0:5", "0", "5"],
    ["4294967294:4294967294", "4294967294", "4294967294"],
    ["0000000000001000", "1000", "0"],
  ])("-u %s", async (user, uid, gid) => {
    const { stdout, stderr } = await scene.exec(container.id, ["-u", user, "--", ...show]);
    expect(stderr.replace(/touch.*\n/, "")).toBe("");
    expect(stdout).toBe(`Uid:\t${Array(4).fill(uid).join("\t")}\nGid:\t${Array(4).fill(gid).join("\t")}\n`);
  });

  test.each([
    "1000:1000extra",
    "1000extra",
    ":5",
    "1000:",
    "1000:5:6",
    "4294967295",
    "1000:4294967295",
    "4294967296",
    "1000:4294967296",
    "18446744073709552616",
    "-1",
    "1000:-1",
    "+1000",
    " 1000",
    "1000 ",
    "1e3",
    "0x3e8",
    "",
    "alice",
    "root",
    "nobody-knows",
    "１０００",
  ])("refuses -u %j", async (user) => {
    await Bun.file(join(container.rootfs, "tmp/ran"))
      .delete()
      .catch(() => undefined);
    const { status, stdout, stderr } = await scene.exec(container.id, ["-u", user, "--", ...show]);
    expect([status, stdout]).toEqual([255, ""]);
    expect(stderr).toContain(`--user ${user}: `);
    expect(await ran()).toBe(false);
  });

  test.each(["4294967295", "4294967296", "-1"])("refuses --additional-gids %s", async (gid) => {
    const { status, stdout } = await scene.exec(container.id, [
      "-u",
      "1000",
      `--additional-gids=${gid}`,
      "--",
      ...show,
    ]);
    expect([status, stdout]).toEqual([255, ""]);
  });
});

describe("a configuration's user is the one that runs", () => {
  const change = (user: object) => (config: RuntimeConfig) => {
    config.process!.user = user as never;
  };

  test.each([
    ["uid", { uid: 0xffffffff, gid: 0 }],
    ["gid", { uid: 1000, gid: 0xffffffff }],
    ["additionalGids[0]", { uid: 1000, gid: 1000, additionalGids: [0xffffffff] }],
  ])("or nobody, where its %s is the number that means nobody to the kernel", async (field, user) => {
    const { status, stdout, stderr } = await scene.run(await scene.victim(["id"], change(user)));
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`process.user.${field}: `);
  });

  test("also of a process.json", async () => {
    const path = scene.path("process.json");
    await Bun.write(path, JSON.stringify({ cwd: "/", args: ["/bin/id"], user: { uid: 0xffffffff, gid: 0 } }));
    const { status, stdout, stderr } = await scene.verb(["exec", "-p", path, container.id]);
    expect([status, stdout]).toEqual([255, ""]);
    expect(stderr).toContain("process.user.uid: ");
  });
});
