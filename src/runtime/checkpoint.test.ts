/** Each flag of checkpoint and restore, and what criu is told because of it. */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { dumpOptions } from "./checkpoint.ts";
import { checkpointFlags, checkpointOptions } from "./cli/checkpoint.ts";
import { criuSettings } from "./cli/criu-flags.ts";
import { parseFlags } from "./cli/flags.ts";
import { restoreFlags } from "./cli/restore.ts";
import type { CriuOptions } from "./criu/messages.ts";
import { commonOptions, openDirectories } from "./criu/settings.ts";

const config: RuntimeConfig = { ociVersion: "1.0.0", root: { path: "rootfs" } };
const CLONE_NEWNET = 0x40000000;

/** What criu is told by the flags, given the images' path and a container that is this process. */
function toldOnDump(flags: string[], container: RuntimeConfig = config): { told: CriuOptions; work: string } {
  const work = mkdtempSync("/var/tmp/tsd-flags-");
  try {
    const words = [
      "--image-path",
      join(work, "images"),
      ...flags.map((word) => word.replace("WORK", join(work, "work"))),
    ];
    const options = checkpointOptions(parseFlags(checkpointFlags, words, { interspersed: true }).flags);
    using directories = openDirectories(options, "dump.log", container);
    const record = {
      id: "c",
      bundle: "/b",
      rootfs: "/b/rootfs",
      ociVersion: "1.3.0",
      createdAt: "",
      ownerUid: 0,
      lifecycle: { phase: "created", init: { pid: process.pid, startTime: 0 } },
    } as const;
    const subject = { record, config: container, init: record.lifecycle.init };
    const told = dumpOptions(subject, options, directories);
    expect(existsSync(join(work, "images/descriptors.json"))).toBe(!options.preDump);
    if (flags.includes("--work-path")) expect(told.workDescriptor).toBe(directories.work!.number);
    return { told, work };
  } finally {
    rmSync(work, { recursive: true });
  }
}

const dumpFlags: [flags: string[], told: Partial<CriuOptions>][] = [
  [["--leave-running"], { leaveRunning: true }],
  [["--tcp-established"], { tcpEstablished: true }],
  [["--tcp-skip-in-flight"], { tcpSkipInFlight: true }],
  [["--link-remap"], { linkRemap: true }],
  [["--ext-unix-sk"], { extUnixSk: true }],
  [["--shell-job"], { shellJob: true }],
  [["--file-locks"], { fileLocks: true }],
  [["--auto-dedup"], { autoDedup: true }],
  [["--lazy-pages"], { lazyPages: true }],
  [["--lazy-pages", "--status-fd", "7"], { lazyPages: true }],
  [["--page-server", "10.0.0.1:27"], { pageServer: { address: "10.0.0.1", port: 27 } }],
  [["--page-server", "[::1]:27"], { pageServer: { address: "::1", port: 27 } }],
  [["--parent-path", "../1"], { parentImages: "../1", trackMemory: true }],
  [["--pre-dump"], { trackMemory: true }],
  [["--manage-cgroups-mode", "soft"], { cgroupMode: "soft" }],
  [["--manage-cgroups-mode", "full"], { cgroupMode: "full" }],
  [["--manage-cgroups-mode", "strict"], { cgroupMode: "strict" }],
  [["--manage-cgroups-mode", "ignore"], { cgroupMode: "ignore" }],
  [["--empty-ns", "network"], {}],
];

/** What no flag changes, or this machine decides. */
const stable = ({ imagesDescriptor: _i, workDescriptor: _w, external: _e, networkLock: _n, ...told }: CriuOptions) =>
  told;

test("without flags criu is asked to save the container as it is", () => {
  expect(stable(toldOnDump([]).told)).toEqual({
    pid: process.pid,
    root: "/b/rootfs",
    logFile: "dump.log",
    logLevel: 4,
    tcpEstablished: false,
    tcpSkipInFlight: false,
    linkRemap: false,
    extUnixSk: false,
    shellJob: false,
    fileLocks: false,
    autoDedup: false,
    lazyPages: false,
    leaveRunning: false,
    pageServer: undefined,
    parentImages: undefined,
    trackMemory: false,
    cgroupMode: "default",
    notifyScripts: true,
    orphanTerminalMaster: true,
    externalMasters: true,
    emptyNamespaces: CLONE_NEWNET,
    configFile: "/etc/criu/runc.conf",
    freezeCgroup: undefined,
  });
});

for (const [flags, expected] of dumpFlags) {
  test(`checkpoint ${flags.join(" ")}`, () => {
    const plain = stable(toldOnDump([]).told);
    expect(stable(toldOnDump(flags).told)).toEqual({ ...plain, ...expected });
  });
}

test("checkpoint --work-path puts the log elsewhere", () => {
  expect(toldOnDump(["--work-path", "WORK"]).told.workDescriptor).toBeNumber();
});

test("the annotation org.criu.config names criu's own settings, or none", () => {
  const annotated = (value: string) => toldOnDump([], { ...config, annotations: { "org.criu.config": value } }).told;
  expect([annotated("/etc/my.conf").configFile, annotated("").configFile]).toEqual(["/etc/my.conf", undefined]);
});

for (const [flag, key] of [
  ["--tcp-established", "tcpEstablished"],
  ["--ext-unix-sk", "extUnixSk"],
  ["--shell-job", "shellJob"],
  ["--file-locks", "fileLocks"],
  ["--auto-dedup", "autoDedup"],
  ["--lazy-pages", "lazyPages"],
] as const) {
  test(`restore ${flag}`, () => {
    const told = (words: string[]) => {
      const settings = criuSettings(
        parseFlags(restoreFlags, ["--image-path", "/", ...words], { interspersed: true }).flags,
      );
      using directories = openDirectories(settings, "restore.log");
      return stable(commonOptions(settings, directories, "restore.log", config));
    };
    expect(told([flag])).toEqual({ ...told([]), [key]: true });
  });
}

test("paths are those of the caller's directory; images are in ./checkpoint unless told", () => {
  const settings = (...words: string[]) => criuSettings(parseFlags(restoreFlags, words, { interspersed: true }).flags);
  expect(settings().imagePath).toBe(join(process.cwd(), "checkpoint"));
  expect(settings("--image-path", "a", "--work-path", "b")).toMatchObject({
    imagePath: join(process.cwd(), "a"),
    workPath: join(process.cwd(), "b"),
  });
});
