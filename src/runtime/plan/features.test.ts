import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MFD_CLOEXEC } from "../../../ffi/constants/memory.ts";
import { AT_FDCWD, F_SETFD, FD_CLOEXEC, O_RDONLY, O_WRONLY } from "../../../ffi/constants/open.ts";
import { PR_GET_DUMPABLE, SECCOMP_FILTER_FLAG_NEW_LISTENER } from "../../../ffi/constants/process.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { openat, write } from "../../../ffi/files.ts";
import { memfd_create } from "../../../ffi/memory.ts";
import { prctl } from "../../../ffi/namespace.ts";
import { explainPlan } from "../../../ffi/plan/explain.ts";
import type { PlanProcess } from "../../../ffi/plan/spawn.ts";
import { pidfd_getfd } from "../../../ffi/process.ts";
import { call } from "../../../ffi/syscall.ts";
import type { LinuxNamespaceType, LinuxSeccomp, RuntimeConfig } from "../../oci/runtime.ts";
import { compileSeccompProgram } from "../seccomp/compile.ts";
import type { CompiledPlan } from "./context.ts";
import { canRunPlans, dockerLikeConfig, makeBundle, runConfig } from "./fixture.ts";
import { compileInit } from "./init.ts";

const asRoot = test.skipIf(!canRunPlans);

function withLinux(command: string, linux: RuntimeConfig["linux"]): RuntimeConfig {
  const config = dockerLikeConfig(command);
  return { ...config, linux: { ...config.linux, ...linux } };
}

const namespaces = (...types: LinuxNamespaceType[]) => types.map((type) => ({ type }));

describe("user namespaces", () => {
  const mapping = [{ containerID: 0, hostID: 200000, size: 65536 }];
  const writeMaps = (running: PlanProcess) => {
    writeFileSync(`/proc/${running.pid}/uid_map`, "0 200000 65536\n");
    writeFileSync(`/proc/${running.pid}/gid_map`, "0 200000 65536\n");
  };

  asRoot("are new, with maps that the parent writes, and a bundle that their root could not reach", () => {
    using bundle = makeBundle();
    chmodSync(bundle.path, 0o700);
    for (const name of ["proc", "sys", "dev", "data"]) mkdirSync(join(bundle.rootfs, name));
    mkdirSync(join(bundle.path, "volume"));
    writeFileSync(join(bundle.path, "volume/file"), "reached\n");
    const script = "id -u; cat /proc/self/uid_map; cat /data/file; echo x > /dev/null && ls -ln /dev/null; hostname";
    const config = withLinux(script, {
      namespaces: namespaces("mount", "network", "uts", "pid", "ipc", "user", "cgroup"),
      uidMappings: mapping,
      gidMappings: mapping,
    });
    const source = join(bundle.path, "volume");
    config.mounts!.push({ destination: "/data", source, type: "bind", options: ["rbind", "ro"] });
    const { output, error, checkpoints } = runConfig(bundle, config, { at: { "user-maps": writeMaps } });
    expect(error).toBeUndefined();
    expect(checkpoints).toEqual(["user-maps", "recorded", "ready"]);
    expect(output).toMatch(/^0\n +0 +200000 +65536\nreached\ncrw-rw-rw- .*\nplanned\n$/);
  });

  asRoot("without maps end in an error", () => {
    using bundle = makeBundle();
    const config = withLinux("true", {
      namespaces: namespaces("mount", "pid", "uts", "user"),
      uidMappings: mapping,
      gidMappings: mapping,
    });
    expect(runConfig(bundle, config).error?.message).toBe(
      "linux.uidMappings: setresgid group 0 of the user namespace: EINVAL (invalid argument)",
    );
  });
});

describe("namespaces", () => {
  asRoot("are joined by path", () => {
    using bundle = makeBundle();
    using network = openat(AT_FDCWD, "/proc/self/ns/net", O_RDONLY);
    using pid = openat(AT_FDCWD, "/proc/self/ns/pid", O_RDONLY);
    const config = withLinux("ls -l /proc/self/ns/net /proc/self/ns/pid | grep -o '[a-z]*:.[0-9]*]'", {
      namespaces: [
        { type: "mount" },
        { type: "uts" },
        { type: "network", path: "/proc/1/ns/net" },
        { type: "pid", path: "/proc/1/ns/pid" },
      ],
    });
    const descriptors = { "namespace.network": network, "namespace.pid": pid };
    const { output, error } = runConfig(bundle, config, { descriptors });
    expect(error).toBeUndefined();
    expect(output).toBe(`${readlinkSync("/proc/self/ns/net")}\n${readlinkSync("/proc/self/ns/pid")}\n`);
  });

  asRoot("of time have their offsets", () => {
    using bundle = makeBundle();
    const offset = 1_000_000;
    const config = withLinux("cat /proc/uptime", {
      namespaces: namespaces("mount", "uts", "pid", "time"),
      timeOffsets: { boottime: { secs: offset } },
    });
    const { output, error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    expect(Number(output.split(" ")[0])).toBeGreaterThan(offset);
  });

  asRoot("that are not asked for are the host's", () => {
    using bundle = makeBundle();
    const config = withLinux("echo $$; hostname", { namespaces: namespaces("mount") });
    delete config.hostname;
    config.mounts = config.mounts!.filter((mount) => mount.type !== "mqueue");
    const { output, error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    const [pid, hostname] = output.split("\n");
    expect(Number(pid)).toBeGreaterThan(1);
    expect(hostname).toBe(readFileSync("/proc/sys/kernel/hostname", "utf8").trim());
  });
});

describe("the root", () => {
  asRoot("can be moved where it cannot be pivoted", () => {
    using bundle = makeBundle();
    const { output, error } = runConfig(
      bundle,
      dockerLikeConfig("ls -d /bin /var 2>/dev/null; mount | grep -c ' / '"),
      {
        noPivot: true,
      },
    );
    expect(error).toBeUndefined();
    expect(output).toBe("/bin\n1\n");
  });

  asRoot("propagates as linux.rootfsPropagation says", () => {
    using bundle = makeBundle();
    const first = (propagation: "shared" | "private" | undefined) => {
      const config = withLinux("grep ' / / ' /proc/self/mountinfo || grep ' / rw' /proc/self/mountinfo", {
        ...(propagation !== undefined && { rootfsPropagation: propagation }),
      });
      return runConfig(bundle, config).output;
    };
    expect(first("shared")).toMatch(/ \/ rw\S* shared:\d+/);
    expect(first("private")).toMatch(/ \/ rw\S* - /);
  });
});

describe("mounts", () => {
  asRoot("have attributes, also recursive ones, and change by a remount", () => {
    using bundle = makeBundle();
    mkdirSync(join(bundle.path, "source"));
    const source = join(bundle.path, "source");
    const config = dockerLikeConfig("mount | grep -E ' (/data|/data/below|/proc|/m) '");
    config.mounts!.push(
      { destination: "/data", source, type: "bind", options: ["rbind", "nodev", "noexec", "noatime"] },
      { destination: "/data/below", type: "tmpfs", source: "tmpfs", options: ["size=64k"] },
      { destination: "/m", type: "bind", source: "/dev", options: ["rbind", "rro", "rnosuid"] },
      { destination: "/proc", options: ["remount", "bind", "nodiratime"] },
    );
    const { output, error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    expect(output).toMatch(/ on \/data type \S+ \(rw,nodev,noexec,noatime/);
    expect(output).toMatch(/tmpfs on \/data\/below type tmpfs \(rw,/);
    expect(output).toMatch(/ on \/m type devtmpfs \(ro,nosuid,/);
    expect(output).toMatch(/proc on \/proc type proc \(rw,nosuid,nodev,noexec,nodiratime/);
  });

  asRoot("of cgroups show the container's own, with a cgroup namespace and without", () => {
    using bundle = makeBundle();
    const name = `tsd-plan-test-${process.pid}`;
    const directory = `/sys/fs/cgroup/memory/${name}`;
    if (!existsSync("/sys/fs/cgroup/memory")) return;
    mkdirSync(directory);
    try {
      for (const own of [true, false]) {
        using procs = openat(AT_FDCWD, join(directory, "cgroup.procs"), O_WRONLY);
        const list: LinuxNamespaceType[] = ["mount", "uts", "pid", ...(own ? (["cgroup"] as const) : [])];
        const config = withLinux(
          "grep memory /proc/self/cgroup; cat /sys/fs/cgroup/memory/cgroup.procs | grep -c .; mount | grep cgroup; ls -l /sys/fs/cgroup",
          { namespaces: namespaces(...list) },
        );
        const options = ["nosuid", "noexec", "nodev", "relatime", "ro"];
        config.mounts!.push({ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options });
        const { output, error } = runConfig(bundle, config, {
          cgroupProcs: 1,
          descriptors: { "cgroup.0": procs },
          cgroupHierarchies: [{ name: "memory", options: ["memory"], directory }],
        });
        expect(error).toBeUndefined();
        const inside = own ? "/" : `/${name}`;
        expect(output).toMatch(new RegExp(`^\\d+:memory:${inside}\n\\d+\n`));
        expect(output).toMatch(/tmpfs on \/sys\/fs\/cgroup type tmpfs \(ro,nosuid,nodev,noexec/);
        expect(output).toMatch(
          /cgroup on \/sys\/fs\/cgroup\/memory type cgroup \(ro,nosuid,nodev,noexec,relatime,memory/,
        );
        expect(output).toContain(" memory\n");
      }
    } finally {
      for (let i = 0; i < 50 && readFileSync(join(directory, "cgroup.procs"), "utf8") !== ""; i++) Bun.sleepSync(10);
      rmdirSync(directory);
    }
  });

  test("of type cgroup need a cgroup", () => {
    const config = dockerLikeConfig("true");
    config.mounts!.push({ destination: "/sys/fs/cgroup", type: "cgroup" });
    const context = { id: "c", bundle: "/b", start: "now", cgroupProcs: 0 } as const;
    expect(() => compileInit(config, context)).toThrow("mounts[6].type: the container has no cgroup to show");
  });
});

describe("devices", () => {
  asRoot("of the configuration are made, with owner, mode and kind", () => {
    using bundle = makeBundle();
    const config = withLinux("stat -c '%n %F %t:%T %a %u:%g' /dev/fuse /srv/block /dev/pipe /dev/null", {
      devices: [
        { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o640, uid: 1, gid: 2 },
        { path: "/srv/block", type: "b", major: 7, minor: 300, fileMode: 0o600 },
        { path: "/dev/pipe", type: "p" },
      ],
    });
    const { output, error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    expect(output).toBe(
      [
        "/dev/fuse character special file a:e5 640 1:2",
        "/srv/block block special file 7:12c 600 0:0",
        "/dev/pipe fifo 0:0 666 0:0",
        "/dev/null character special file 1:3 666 0:0",
        "",
      ].join("\n"),
    );
  });
});

describe("sysctls and scores", () => {
  asRoot("are written to the kernel, and not where an image mounts something", () => {
    using bundle = makeBundle();
    const config = withLinux(
      "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/net/ipv4/conf/lo/forwarding /proc/self/oom_score_adj",
      { sysctl: { "net.ipv4.ip_forward": "1", "kernel.msgmax": "5000", "net/ipv4/conf/lo/forwarding": "1" } },
    );
    config.process!.oomScoreAdj = 123;
    const before = readFileSync("/proc/self/oom_score_adj", "utf8");
    const { output, error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    // They are the container's alone: it shares no memory with this process.
    expect(readFileSync("/proc/self/oom_score_adj", "utf8")).toBe(before);
    expect(prctl(PR_GET_DUMPABLE)).toBe(1);
    expect(output).toBe("1\n5000\n1\n123\n");
  });

  test("are refused without the namespace that keeps them from the host", () => {
    const config = withLinux("true", {
      namespaces: namespaces("mount", "uts"),
      sysctl: { "net.ipv4.ip_forward": "1" },
    });
    const context = { id: "c", bundle: "/b", start: "now", cgroupProcs: 0 } as const;
    expect(() => compileInit(config, context)).toThrow(
      'linux.sysctl["net.ipv4.ip_forward"]: not allowed without a network namespace of the container\'s own',
    );
  });
});

describe("seccomp", () => {
  const profile: LinuxSeccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64"],
    syscalls: [{ names: ["sethostname"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
  };
  asRoot("filters the program's calls and not those of the set-up, with no_new_privs and without", () => {
    using bundle = makeBundle();
    const { bytes, flags } = compileSeccompProgram(profile);
    for (const noNewPrivileges of [true, false]) {
      const config = dockerLikeConfig("hostname other; hostname; grep -E 'Seccomp:|NoNew' /proc/self/status");
      config.process!.noNewPrivileges = noNewPrivileges;
      const all = ["CAP_SYS_ADMIN"];
      config.process!.capabilities = { bounding: all, effective: all, permitted: all };
      const { output, error } = runConfig(bundle, config, { seccomp: { program: bytes, flags } });
      expect(error).toBeUndefined();
      expect(output).toContain("Operation not permitted\nplanned\n");
      expect(output).toContain(`NoNewPrivs:\t${noNewPrivileges ? 1 : 0}\nSeccomp:\t2\n`);
    }
  });

  asRoot("gives its listener to the parent", () => {
    using bundle = makeBundle();
    const { bytes } = compileSeccompProgram(profile);
    let listener: Fd | undefined;
    const take = (running: PlanProcess, compiled: CompiledPlan) => {
      listener = pidfd_getfd(running.pidfd, running.result(compiled.seccompListener!)!);
    };
    const { error, checkpoints } = runConfig(bundle, dockerLikeConfig("true"), {
      seccomp: { program: bytes, flags: SECCOMP_FILTER_FLAG_NEW_LISTENER },
      at: { "seccomp-listener": take },
    });
    expect(error).toBeUndefined();
    expect(checkpoints).toEqual(["recorded", "seccomp-listener", "ready"]);
    expect(readlinkSync(`/proc/self/fd/${listener!.number}`)).toContain("seccomp notify");
    listener?.close();
  });
});

describe("security modules", () => {
  asRoot("that the kernel does not have make an error of their labels", () => {
    if (existsSync("/sys/kernel/security/apparmor") || existsSync("/sys/fs/selinux")) return;
    using bundle = makeBundle();
    const config = dockerLikeConfig("true");
    config.process!.apparmorProfile = "docker-default";
    expect(runConfig(bundle, config).error?.message).toMatch(
      /^process.apparmorProfile: \w+ AppArmor profile docker-default: E/,
    );
    delete config.process!.apparmorProfile;
    config.process!.selinuxLabel = "system_u:system_r:container_t:s0";
    expect(runConfig(bundle, config).error?.message).toMatch(/^process.selinuxLabel: \w+ SELinux label system_u\S+: E/);
  });
});

describe("descriptors", () => {
  asRoot("that are preserved keep their numbers", () => {
    using bundle = makeBundle();
    // A runtime is started with them; here the numbers are whatever is free, and the plan is told how many there are.
    using kept = memfd_create("kept", MFD_CLOEXEC);
    const config = dockerLikeConfig(`cat <&${kept.number}`);
    write(kept, "preserved\n");
    using again = openat(AT_FDCWD, `/proc/self/fd/${kept.number}`, O_RDONLY);
    config.process!.args = ["/bin/sh", "-c", `cat /proc/self/fd/${again.number}`];
    const { output, error } = runConfig(bundle, config, {
      preserveFds: again.number - 2,
      descriptors: { "preserved.x": again },
    });
    expect(error).toBeUndefined();
    expect(output).toBe("preserved\n");
  });
});

describe("hooks inside the container", () => {
  asRoot("read their state, run in their order and place, and fail the container when they fail", () => {
    using bundle = makeBundle();
    const log = join(bundle.rootfs, "log");
    const state = (name: string) => {
      const fd = memfd_create(name, MFD_CLOEXEC);
      return fd;
    };
    using creating = state("creating");
    using created = state("created");
    const hook = (text: string, extra = {}) => ({ path: "/bin/sh", args: ["sh", "-c", text], env: ["X=1"], ...extra });
    const config = dockerLikeConfig("cat /log");
    config.hooks = {
      createContainer: [
        hook(`cat >> ${log}; echo " $X" >> ${log}`),
        hook(`cat >> ${log}; test -d ${bundle.path} && echo >> ${log}`),
      ],
      startContainer: [hook("cat >> /log; echo >> /log", { timeout: 5 })],
    };
    const options = {
      descriptors: { "state.creating": creating, "state.created": created },
      at: {
        "create-runtime": () => {
          write(creating, '{"status":"creating"}');
          write(created, '{"status":"created"}');
        },
      },
    };
    const { output, error } = runConfig(bundle, config, options);
    expect(error).toBeUndefined();
    expect(output).toBe('{"status":"creating"} 1\n{"status":"creating"}\n{"status":"created"}\n');

    config.hooks = { createContainer: [hook("exit 3")] };
    expect(runConfig(bundle, config, options).error?.message).toBe("hooks.createContainer[0] /bin/sh: exit status 3");
    config.hooks = { createContainer: [{ path: "/no/such/hook" }] };
    expect(runConfig(bundle, config, options).error?.message).toBe(
      "hooks.createContainer[0] /no/such/hook: cannot be executed",
    );
    config.hooks = { startContainer: [hook("while :; do :; done", { timeout: 1 })] };
    expect(runConfig(bundle, config, options).error?.message).toBe(
      "hooks.startContainer[0] /bin/sh: not finished after 1 s",
    );
  });
});

describe("a parent whose own streams are closed on execve", () => {
  asRoot("leaves no room for the plan's descriptors among the container's", () => {
    using bundle = makeBundle();
    const config = dockerLikeConfig("cat /log; ls /proc/self/fd");
    config.linux!.namespaces = config.linux!.namespaces!.filter(({ type }) => type !== "cgroup");
    // A hook in the container is what the plan needs /proc for until the end.
    const hook = { path: "/bin/sh", args: ["sh", "-c", "echo hook > /log"], env: ["PATH=/bin"] };
    config.hooks = { startContainer: [hook] };
    using state = memfd_create("state", MFD_CLOEXEC);
    const set = (bits: number) => {
      for (const number of [0, 1, 2]) call("fcntl", `descriptor ${number}`, number, F_SETFD, bits);
    };
    set(FD_CLOEXEC);
    try {
      const { output, error } = runConfig(bundle, config, { descriptors: { "state.created": state } });
      expect(error).toBeUndefined();
      expect(output).toBe("hook\n0\n1\n2\n3\n");
    } finally {
      set(0);
    }
  });
});

describe("resources of the process", () => {
  asRoot("are its scheduler, its input and output, its memory policy", () => {
    using bundle = makeBundle();
    const config = withLinux("cat /proc/self/stat | cut -d' ' -f 19,41; cat /proc/self/personality", {
      personality: { domain: "LINUX", flags: ["ADDR_NO_RANDOMIZE"] },
      memoryPolicy: { mode: "MPOL_BIND", nodes: "0" },
    });
    config.process!.scheduler = { policy: "SCHED_BATCH", nice: 5 };
    config.process!.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 6 };
    const { error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    const texts = explainPlan(
      compileInit(config, { id: "c", bundle: "/b", start: "now", cgroupProcs: 0 }).plan,
    ).records;
    expect(texts.map((record) => record.text)).toContain("set_mempolicy(MPOL_BIND, <0>, 1025)");
  });
});
