/** How every plan begins, and how it comes into its cgroup. */
import { F_GETFD, fcntlCommands, O_CLOEXEC, O_PATH, openFlags } from "../../../ffi/constants/open.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { bytes, constant, flags, type Ref, str } from "../../../ffi/plan/values.ts";
import { encodeText } from "../../../ffi/text.ts";
import type { OciProcess } from "../../oci/runtime.ts";
import { hide } from "./credentials.ts";
import { here } from "./emit.ts";
import { writeProc } from "./proc.ts";

/**
 * Signals that someone above may ignore (nohup, a shell without job control, Bun): ignored signals stay ignored
 * through execve, and the container's program did not ask for it.
 */
const inheritedSignals = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGCHLD: 17,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGWINCH: 28,
} as const;

export function begin(plan: PlanBuilder): void {
  plan.because("hidden", () => hide(plan));
  // The capsule has mapped it.
  plan.call("close", [plan.descriptor("plan")], { why: "descriptors" });
  fillStreams(plan);
  plan.because("signals", () => {
    // struct kernel_sigaction: SIG_DFL, no flags, no restorer, no mask.
    const byDefault = bytes(new Uint8Array(32), "SIG_DFL");
    for (const number of Object.values(inheritedSignals)) {
      plan.call("rt_sigaction", [constant(number, inheritedSignals), byDefault, null, 8]);
    }
  });
}

/**
 * Where the parent's streams are closed on execve, what the plan opens would get their numbers, and be lost when the
 * container's streams are put there. So something holds the place until then; descriptors are given out lowest first.
 */
function fillStreams(plan: PlanBuilder): void {
  plan.because("standard streams", () => {
    for (const number of [0, 1, 2]) {
      const [isFree, isTaken] = [
        plan.label(`descriptor ${number} is free`),
        plan.label(`descriptor ${number} is taken`),
      ];
      plan.call("fcntl", [number, constant(F_GETFD, fcntlCommands)], { onError: isFree });
      plan.place(isTaken);
      plan.defer(() => {
        plan.place(isFree);
        plan.call("openat", [here, str("/"), flags(O_PATH | O_CLOEXEC, openFlags), 0], { what: "/" });
        plan.jump(isTaken);
      });
    }
  });
}

/**
 * Moves the process into its cgroup, in each hierarchy: cgroup.procs takes "0" for whoever writes.
 * @param awaitsAdmission it waits first until somebody else has moved it, where that is needed.
 */
export function joinCgroups(plan: PlanBuilder, count: number, fallback = false, awaitsAdmission = false): void {
  const self = bytes(encodeText("0"), '"0"');
  plan.because("linux.cgroupsPath", () => {
    if (awaitsAdmission) plan.checkpoint("cgroup", true);
    for (let index = 0; index < count; index++) {
      const name = `cgroup.${index}`;
      const fd = plan.descriptor(name);
      if (fallback) joinOrFallBack(plan, index);
      else plan.call("write", [fd, self, 1], { what: `cgroup.procs of hierarchy ${index}` });
      plan.call("close", [fd]);
    }
  });
}

/**
 * A container that has made groups below its own has no processes in it, and none can join it (EBUSY, EOPNOTSUPP,
 * "no internal processes" of cgroups(7)): an exec then joins the first process's.
 */
function joinOrFallBack(plan: PlanBuilder, index: number): void {
  const self = bytes(encodeText("0"), '"0"');
  const [busy, joined] = [plan.label("the cgroup has groups below it"), plan.label("the cgroup is joined")];
  const what = `cgroup.procs of hierarchy ${index}`;
  const own = plan.descriptor(`cgroup.${index}`);
  plan.call("write", [own, self, 1], { what, onError: busy });
  plan.place(joined);
  plan.defer(() => {
    plan.place(busy);
    // Other errors come again, and end the plan.
    plan.call("write", [own, self, 1], { what, ignore: ["EBUSY", "EOPNOTSUPP"] });
    plan.call("write", [plan.descriptor(`cgroup.fallback.${index}`), self, 1], {
      what: `cgroup.procs of the first process in hierarchy ${index}`,
      next: joined,
    });
  });
  plan.call("close", [plan.descriptor(`cgroup.fallback.${index}`)]);
}

/** As long as the process is privileged: a lower score than that of its parent needs CAP_SYS_RESOURCE. */
export function setOomScore(plan: PlanBuilder, process: OciProcess, proc: Ref): void {
  const { oomScoreAdj } = process;
  if (oomScoreAdj === undefined) return;
  plan.because("process.oomScoreAdj", () => writeProc(plan, proc, "self/oom_score_adj", String(oomScoreAdj)));
}
