/**
 * tsd on a real distribution: systemd, nothing but cgroup v2, AppArmor, a kernel and a root without restrictions. The
 * guest is booted once; each check in it is a test here.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { basename } from "node:path";
import { type GuestReport, runInGuest, whyNoGuest } from "../harness/guest.ts";
import { Workspace } from "../harness/workspace.ts";

const inChecks = (name: string) => `test/guest/checks/${name}`;
/** In this order: the first starts the daemon, the last stops it. */
const checks = ["service.ts", "systemd.ts", "cgroup.ts", "sandbox.ts", "bundle.ts", "ports.ts", "network.ts"].map(
  inChecks,
);
/** Tests of the runtime's command line that look at cgroups, devices or anything else that is otherwise here. */
const conformance = ["cgroups", "pause", "update", "events"].map((name) => `test/runtime/conformance/${name}.test.ts`);
/** Tests of the source that need what only the guest has. */
const sources = [
  "src/runtime/cgroup/cgroup.test.ts",
  "src/volume/copy-up.test.ts",
  "src/volume/local/network.kernel.test.ts",
  "src/engine/mount/image-source.test.ts",
  "src/quota/projects.test.ts",
  "src/network/driver/ipvlan.kernel.test.ts",
  "src/network/driver/parent.kernel.test.ts",
  "ffi/overlay.test.ts",
  "ffi/process.test.ts",
];
/**
 * Last: while criu freezes and dumps containers, a call to a user's systemd has gone without an answer for 30 s.
 * systemd.ts has ended by then.
 */
const criu = "test/runtime/conformance/checkpoint-criu.test.ts";
/** Of a daemon of their own. */
const quota = inChecks("quota.ts");
/** With criu, too. */
const checkpoint = inChecks("checkpoint.ts");
/** They take about as long as each other. */
const lists = [
  [...checks, ...sources],
  [...conformance, quota, checkpoint, criu],
];
const files = lists.flat();
/**
 * Tests of those files that see the same on every machine, or the same as a test of the source that runs in the guest:
 * they take their time where the processor is emulated.
 */
const same = [
  "--memory 67108864 is in the kernel's file of a container that runs",
  "--memory=32mb is in the kernel's file of a container that runs",
  "--l3-cache-schema is refused without intelRdt",
  "--mem-bw-schema is refused without intelRdt",
  "-r takes a file, and leaves the other flags aside",
  "takes - for the standard input",
  "refuses what is not JSON, wrong types, and a file that is not there",
  "are in the configuration that is kept of the container",
  "is refused, with the name of the flag",
  "flags that are no numbers, and containers that are not there, are refused",
  "what is paused is not paused again, and what runs is not resumed",
  "a container that has ended is neither paused nor resumed",
  "exec is refused in a paused container",
  "pause takes one container that exists",
  "resume takes one container that exists",
  "a container without a cgroup is not paused in vain",
  "changes nothing that it does not speak of",
  "grow and shrink, memory and swap together",
  "below what is used are refused with checkBeforeUpdate",
  "hold for what runs: a limit of processes stops the next one",
  "--interval 50ms prints statistics again and again until the container ends",
  "--interval=0.05s prints statistics again and again until the container ends",
  "-interval 50000us prints statistics again and again until the container ends",
  "intervals that are none are refused",
  "a container that has ended, and one that never was, have no events",
];
/** Tests of those files that only the long form has, `bun run test:soak guest`: what is shown in it beside them is most of it. */
const long = [
  "what it refuses of open connections: --tcp-established",
  "what criu refuses leaves the container running, with criu's reason: --link-remap",
  "the modes of --manage-cgroups-mode bring it back into its cgroup, or refuse one that is there",
  "memory is saved beforehand with --pre-dump, and what has changed since with --parent-path",
  "pipes of the caller's are given to it anew, and its status is that of restore",
  "so are files, to which it appends",
  "--lazy-pages serves memory to a restoration that has begun without it",
  "a container with a terminal has one again",
  "on ext4 a volume takes no more than its size, whoever uses it, and the image's files have to fit, too",
];
/** Those that are left out now. */
const leftOut = process.env.TSD_SOAK === "1" ? same : [...same, ...long];
/** Tests of those files that are about another kind of machine. */
const elsewhere = [
  "without a cgroupsPath the cgroup has the container's name, below the caller's own",
  "puts the command below the container's cgroup, of one controller",
  "of v1 has a directory for each controller, and newborns only in a v2 one beside them",
  "--cpu-rt-period is in the kernel's file; a runtime that no parent has is refused",
  "refuses files of cgroup v2 on v1",
  // Linux 6.8 and later.
  "has the files of all layers, topmost first",
  "is read-only without an upper directory",
];

const reason = whyNoGuest();
let workspace: Workspace | undefined;
let report: GuestReport = { status: -1, output: "", cases: [] };
if (reason === undefined) {
  workspace = await Workspace.open();
  report = await runInGuest(workspace, lists, leftOut);
  for (const list of lists) console.log(`note: in the guest, one after another: ${list.map(durationOf).join(", ")}`);
} else {
  console.log(`note: no guest: ${reason}`);
}

/** Of the tests of a file, without what is done before and after them. */
function durationOf(file: string): string {
  const seconds = report.cases.reduce((sum, test) => sum + (test.file === file ? test.seconds : 0), 0);
  return `${basename(file)} ${seconds.toFixed(0)} s`;
}

afterAll(() => workspace?.[Symbol.asyncDispose]());

test.skipIf(reason !== undefined)("a Debian guest boots, runs every file of checks, and ends", () => {
  const told = new Set(report.cases.map(({ file }) => file));
  const missing = files.filter((file) => !told.has(file));
  if (report.cases.some(({ outcome }) => outcome === "failed")) console.log(report.output);
  // The checks themselves are told of one by one.
  const broken = missing.length > 0 || ![0, 1].includes(report.status);
  if (broken) throw new Error(`status ${report.status}; no check of ${missing.join(" ")}\n${report.output}`);
});

for (const { group, name, outcome, failure } of report.cases) {
  if (outcome === "skipped" && (elsewhere.includes(name) || leftOut.some((end) => `${group} ${name}`.endsWith(end))))
    continue;
  describe(`in the guest, ${group}`, () => {
    test(name, () => {
      if (outcome === "skipped") throw new Error("it was skipped in the guest");
      expect(failure).toBe("");
    });
  });
}
