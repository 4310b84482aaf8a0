/**
 * What this runtime can do, as features.md of the runtime specification has it. Lists come from the tables that the
 * code itself works with.
 */
import { capabilityNumbers } from "../../ffi/constants/capability.ts";
import { memoryPolicyFlags, memoryPolicyModes } from "../../ffi/constants/process.ts";
import { SYS } from "../../ffi/constants/syscalls.ts";
import { errnoName } from "../../ffi/errno.ts";
import { mountOptionNames } from "../../ffi/mount-options.ts";
import { syscall } from "../../ffi/syscall.ts";
import { commit, version } from "../core/version.ts";
import { hookNames, seccompOperator } from "../oci/runtime.ts";
import { ociVersion } from "../oci/version.ts";
import { namespaceTypes } from "./plan/namespaces.ts";
import { flagNewListener, seccompArchitectures, seccompFlags } from "./seccomp/compile.ts";
import { seccompActions } from "./seccomp/rules.ts";

/** @param checkpoints whether criu is there and works (checkpointsWork). */
export function runtimeFeatures(checkpoints: boolean): object {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: ociVersion,
    hooks: hookNames,
    mountOptions: mountOptionNames().sort(),
    linux: {
      namespaces: [...namespaceTypes].sort(),
      capabilities: Object.keys(capabilityNumbers),
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
      seccomp: {
        enabled: true,
        actions: [...seccompActions].sort(),
        operators: [...seccompOperator.options].sort(),
        archs: seccompArchitectures().sort(),
        knownFlags: Object.keys(seccompFlags).sort(),
        supportedFlags: Object.keys(seccompFlags).filter(isSupportedFlag).sort(),
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: false },
      memoryPolicy: {
        modes: Object.keys(memoryPolicyModes).sort(),
        flags: Object.keys(memoryPolicyFlags).sort(),
      },
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: false },
    },
    annotations: {
      "tsd.version": version,
      "tsd.commit": commit,
      // Of runc's annotations the one that is an answer and not a name: managers look for it under this key. Its version
      // and commit are left out, for whoever knows of a fault in that version of runc would look for it here.
      "org.opencontainers.runc.checkpoint.enabled": String(checkpoints),
    },
    // Who may set it chooses a file of settings for criu, which runs as root on the host.
    potentiallyUnsafeConfigAnnotations: ["org.criu.config"],
  };
}

const SECCOMP_SET_MODE_FILTER = 1;

/** Asks the kernel: without a filter, a flag that it knows gets as far as the bad address (seccomp(2), EFAULT). */
function isSupportedFlag(name: string): boolean {
  // WAIT_KILLABLE_RECV is about a listener, and refused without one.
  const needsListener = name === "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
  const flags = (seccompFlags[name] ?? 0) | (needsListener ? flagNewListener : 0);
  return errnoName(-syscall(SYS.seccomp, SECCOMP_SET_MODE_FILTER, flags, null)) === "EFAULT";
}
