/** Network file systems, by servers of the kernel's own: the guest has them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../test/harness/command.ts";
import { LocalDriver } from "./driver.ts";
import { mountPointsIn } from "./mounted.ts";

const canServe = ["/usr/sbin/exportfs", "/usr/sbin/ksmbd.mountd"].every((path) => existsSync(path));

function run(script: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["sh", "-ec", script]);
  if (exitCode !== 0) throw new Error(`${script}: ${stderr.toString()}`);
}

let root: string;
let shared: string;
let driver: LocalDriver;

// Not in the group: where that is skipped they would be told of as tests without names.
beforeAll(async () => {
  if (!canServe) return;
  root = mkdtempSync(join(tmpdir(), "tsd-network-"));
  shared = join(root, "shared");
  driver = new LocalDriver(root, []);
  mkdirSync(shared);
  run(`chmod 777 ${shared}; modprobe -a nfsd nfsv4 cifs ksmbd`);
  run(`exportfs -o rw,no_root_squash,fsid=0,insecure 127.0.0.1:${shared}; systemctl start nfs-kernel-server`);
  mkdirSync("/etc/ksmbd", { recursive: true });
  const share = `[share]\n\tpath = ${shared}\n\tread only = no\n`;
  writeFileSync("/etc/ksmbd/ksmbd.conf", `[global]\n\tnetbios name = tsd\n\n${share}`);
  run("ksmbd.adduser -a tester -p secret -i /etc/ksmbd/ksmbdpwd.db; systemctl restart ksmbd");
  // The service is up before the kernel listens.
  await until("it is heard at its port", async () => {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: 445, socket: { data: () => undefined } }).catch(
      () => undefined,
    );
    socket?.end();
    return socket !== undefined;
  });
});
afterAll(() => {
  if (!canServe) return;
  run(`systemctl stop ksmbd nfs-kernel-server; exportfs -ua; rm -r ${root} /etc/ksmbd`);
});

function typeOf(place: string): string | undefined {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines
    .find((line) => line.split(" ")[4] === place)
    ?.split(" - ")[1]
    ?.split(" ")[0];
}

describe.skipIf(!canServe)("a volume of a server", () => {
  test("of the type nfs is mounted by the server's name, and holds what is there", async () => {
    writeFileSync(join(shared, "file"), "there");
    await driver.create("on-nfs", { type: "nfs", device: ":/", o: "addr=localhost,vers=4,rw" });
    const path = await driver.mount("on-nfs", "user");
    expect(typeOf(path)).toBe("nfs4");
    expect(readFileSync(join(path, "file"), "utf8")).toBe("there");
    writeFileSync(join(path, "written"), "");
    await driver.remove("on-nfs");
    expect(await mountPointsIn(root)).toEqual([]);
    expect(readdirSync(shared).sort()).toEqual(["file", "written"]);
  });

  test.each([
    ["nfs", ":/", "vers=4", "invalid argument (NFS: mount program didn't pass remote address)"],
    ["cifs", "//127.0.0.1/share", "username=tester,password=wrong,vers=3.0", "permission denied"],
  ])("of the type %s says why it is refused, and no password", async (type, device, o, reason) => {
    await driver.create("refused", { type, device, o });
    let message = "";
    // ksmbd stops listening for a moment when an interface called lo goes down, in whichever network namespace.
    await until("the server is heard", async () => {
      message = await driver.mount("refused", "user").then(String, (error: Error) => error.message);
      return !message.endsWith("connection refused");
    });
    expect(message).toEndWith(`${o.replace("wrong", "********")}: ${reason}`);
    expect(message).not.toContain("wrong");
    await driver.remove("refused");
    expect(await mountPointsIn(root)).toEqual([]);
  });
});
