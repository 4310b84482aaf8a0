/** The flags of `tsd run` that widen or narrow what a container may do. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

const docker14 = 0xa80425fbn;
const bit = { CHOWN: 0n, NET_BIND_SERVICE: 10n, NET_ADMIN: 12n, NET_RAW: 13n, SYS_ADMIN: 21n, SYS_TIME: 25n } as const;

async function capabilities(flags: string[]): Promise<Record<string, bigint>> {
  const status = await engine.sh(flags, "grep ^Cap /proc/self/status");
  return Object.fromEntries(status.split("\n").map((line) => [line.slice(3, 6), BigInt(`0x${line.split("\t")[1]}`)]));
}

async function field(flags: string[], name: string): Promise<string> {
  return (await engine.sh(flags, `grep ^${name}: /proc/self/status`)).split("\t")[1]!;
}

test("--cap-add and --cap-drop change the sets, with and without CAP_", async () => {
  const added = docker14 | (1n << bit.NET_ADMIN) | (1n << bit.SYS_TIME);
  expect(await capabilities(["--cap-add", "NET_ADMIN", "--cap-add", "cap_sys_time"])).toEqual({
    Inh: 0n,
    Prm: added,
    Eff: added,
    Bnd: added,
    Amb: 0n,
  });
  const dropped = docker14 & ~(1n << bit.CHOWN) & ~(1n << bit.NET_RAW);
  expect((await capabilities(["--cap-drop", "CHOWN", "--cap-drop", "CAP_NET_RAW"])).Eff).toBe(dropped);
  expect((await capabilities(["--cap-drop", "all"])).Bnd).toBe(0n);
  const one = await capabilities(["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"]);
  expect(one).toEqual({ Inh: 0n, Prm: 1n << 10n, Eff: 1n << 10n, Bnd: 1n << 10n, Amb: 0n });
});

test("--cap-add all gives what the daemon itself has", async () => {
  const held = BigInt(`0x${/^CapBnd:\t(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))![1]}`);
  expect((await capabilities(["--cap-add", "ALL"])).Bnd).toBe(held);
});

test("a dropped capability is missed", async () => {
  const kept = await engine.run([], ["chown", "1000", "/tmp"]);
  expect(kept.status).toBe(0);
  const dropped = await engine.run(["--cap-drop", "CHOWN"], ["chown", "1000", "/tmp"]);
  expect(dropped.status).toBe(1);
  expect(dropped.stderr).toContain("Operation not permitted");
});

test("--privileged lifts capabilities, seccomp, devices, masks and read-only paths", async () => {
  const held = BigInt(`0x${/^CapBnd:\t(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))![1]}`);
  expect((await capabilities(["--privileged"])).Eff).toBe(held);
  expect(await field(["--privileged"], "Seccomp")).toBe("0");
  const mounts = await engine.sh(["--privileged"], "cut -d' ' -f2,4 /proc/self/mounts");
  expect(mounts).not.toMatch(/^\/proc\/./m);
  expect(mounts).not.toMatch(/^\/sys\/firmware /m);
  expect(mounts).toMatch(/^\/sys rw/m);
  const devices = await engine.sh(
    ["--privileged"],
    "ls /dev; echo 0 > /proc/sys/kernel/printk_ratelimit_burst_none 2>&1; true",
  );
  expect(devices.split("\n")).toContain("kmsg");
  const mounted = await engine.sh(
    ["--privileged"],
    "mkdir /m && mount -t tmpfs none /m && grep -c ' /m ' /proc/self/mounts",
  );
  expect(mounted).toBe("1");
});

test("the default profile refuses what docker's refuses, and unconfined allows it", async () => {
  // unshare of a user namespace needs no capability, only seccomp stands before it.
  const refused = await engine.run([], ["unshare", "-r", "true"]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("Operation not permitted");
  expect(await field(["--security-opt", "seccomp=unconfined"], "Seccomp")).toBe("0");
  const mounted = await engine.run(["--cap-add", "SYS_ADMIN"], ["mount", "-t", "tmpfs", "none", "/tmp"]);
  expect(mounted.status).toBe(0);
  expect((await engine.run([], ["mount", "-t", "tmpfs", "none", "/tmp"])).status).not.toBe(0);
});

test("--security-opt seccomp=FILE loads the client's file", async () => {
  const path = engine.workspace.path("profile.json");
  const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 };
  writeFileSync(path, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }));
  const result = await engine.run(["--security-opt", `seccomp=${path}`], ["mkdir", "/tmp/x"]);
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("Operation not supported");
  expect(await field(["--security-opt", `seccomp=${path}`], "Seccomp")).toBe("2");
  const relative = await engine.run(["--security-opt", "seccomp=profile.json"], ["mkdir", "/tmp/x"], {
    cwd: engine.workspace.directory,
  });
  expect(relative.status).toBe(1);
});

test("--security-opt no-new-privileges sets the flag, and a set-user-id program gains nothing", async () => {
  expect(await field([], "NoNewPrivs")).toBe("0");
  for (const option of ["no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"]) {
    expect(await field(["--security-opt", option], "NoNewPrivs")).toBe("1");
  }
  expect(await field(["--security-opt", "no-new-privileges=false"], "NoNewPrivs")).toBe("0");
  // A copy of id that belongs to root and runs as its owner; busybox would give that up by itself.
  const debian = await engine.registry.push("debian");
  const within = (...args: string[]) => engine.daemon.ok("run", "--rm", "-q", "-v", "suid:/s", ...args);
  await within(debian, "sh", "-c", "cp /usr/bin/id /s/id && chmod 4755 /s/id");
  expect(await within("-u", "1000", debian, "/s/id", "-u")).toBe("0");
  expect(await within("-u", "1000", "--security-opt", "no-new-privileges", debian, "/s/id", "-u")).toBe("1000");
});

test("--security-opt systempaths=unconfined shows /proc as it is", async () => {
  const mounts = await engine.sh(["--security-opt", "systempaths=unconfined"], "cut -d' ' -f2 /proc/self/mounts");
  expect(mounts).not.toMatch(/^\/proc\/./m);
});

test("exec has the container's capabilities and profile, and --privileged all of them", async () => {
  const id = await engine.start(["--cap-drop", "CHOWN"], "sleep", "1000");
  const show = ["sh", "-c", "grep -E '^(CapEff|Seccomp):' /proc/self/status"];
  const expected = (docker14 & ~1n).toString(16).padStart(16, "0");
  expect(await engine.daemon.ok("exec", id, ...show)).toBe(`CapEff:\t${expected}\nSeccomp:\t2`);
  const held = /^CapBnd:\t(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))![1];
  expect(await engine.daemon.ok("exec", "--privileged", id, ...show)).toContain(`CapEff:\t${held}`);
  await engine.daemon.ok("rm", "-f", id);
});
