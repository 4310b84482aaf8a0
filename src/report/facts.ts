/** What a process finds out about its own confinement: everything from /proc and the cgroup file system. */
import { readdirSync, readFileSync } from "node:fs";
import { capabilitiesOf, capabilityMasks } from "../../ffi/capability.ts";
import { isErrno } from "../core/errors.ts";
import { type LimitFacts, readLimits } from "./limits.ts";
import { type MountFacts, readMounts } from "./mounts.ts";
import { type NamespaceFact, readNamespaces } from "./namespaces.ts";
import { type NetworkFacts, readNetwork } from "./network.ts";

export interface Facts {
  kernel: string;
  hostname: string;
  pid: number;
  /** Processes that can be seen. */
  processes: number;
  cpus: string;
  uid: number;
  gid: number;
  groups: number[];
  namespaces: NamespaceFact[];
  capabilities: {
    /** By name, without CAP_. */
    effective: string[];
    bounding: string[];
    ambient: string[];
    /** How many this kernel has. */
    kernel: number;
  };
  noNewPrivileges: boolean;
  seccomp: { mode: "off" | "strict" | "filter"; filters: number };
  /** AppArmor's or SELinux' name for what holds this process; absent where there is neither. */
  label?: string;
  limits: LimitFacts;
  mounts: MountFacts;
  network: NetworkFacts;
}

/** @param proc where procfs is mounted. */
export function readFacts(proc = "/proc"): Facts {
  const read = (path: string): string => readFileSync(`${proc}/${path}`, "utf8");
  const status = read("self/status");
  const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1] ?? "";
  const masks = capabilityMasks(status);
  const names = (set: string): string[] => {
    return capabilitiesOf(masks[set] ?? 0n).map((name) => name.slice("CAP_".length).toLowerCase());
  };
  const label = readOptional(`${proc}/self/attr/current`)?.replace(/[\n\0]+$/, "");
  const mountinfo = read("self/mountinfo");
  return {
    kernel: read("sys/kernel/osrelease").trim(),
    hostname: read("sys/kernel/hostname").trim(),
    pid: process.pid,
    processes: readdirSync(proc).filter((name) => /^\d+$/.test(name)).length,
    cpus: field("Cpus_allowed_list"),
    uid: Number(field("Uid").split("\t")[1]),
    gid: Number(field("Gid").split("\t")[1]),
    groups: field("Groups").split(" ").filter(Boolean).map(Number),
    namespaces: readNamespaces(proc),
    capabilities: {
      effective: names("CapEff"),
      bounding: names("CapBnd"),
      ambient: names("CapAmb"),
      kernel: Number(read("sys/kernel/cap_last_cap")) + 1,
    },
    noNewPrivileges: field("NoNewPrivs") === "1",
    // PR_GET_SECCOMP of prctl(2); the number of filters is told since Linux 5.9.
    seccomp: {
      mode: (["off", "strict", "filter"] as const)[Number(field("Seccomp"))] ?? "off",
      filters: Number(field("Seccomp_filters")),
    },
    ...(label ? { label } : {}),
    limits: readLimits(mountinfo, read("self/cgroup")),
    mounts: readMounts(mountinfo),
    network: readNetwork(
      read("net/dev"),
      readOptional(`${proc}/net/route`) ?? "",
      readOptional(`${proc}/net/fib_trie`) ?? "",
    ),
  };
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // EINVAL: no security module answers to attr/current.
    if (isErrno(error, "ENOENT", "EINVAL", "EACCES", "EPERM", "ENOTSUP", "EOPNOTSUPP")) return undefined;
    throw error;
  }
}
