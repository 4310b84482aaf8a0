/** What concerns a container's isolation among the flags of `run` and `create`, as docker's command line reads it. */
import { readFileSync } from "../../ffi/fs.ts";
import type { HostConfig } from "../api/schema/container-config.ts";
import { EngineError, errorMessage } from "../core/errors.ts";
import { fileError } from "./file-error.ts";
import { UsageError } from "./flags.ts";

/** Each once, by its whole name, sorted. */
export function capabilities(names: string[]): string[] {
  const whole = names.map((name) => {
    const upper = name.trim().toUpperCase();
    return upper === "ALL" || upper === "RESET" || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  });
  return [...new Set(whole)].sort();
}

/** `systempaths=unconfined` is no option to the daemon, but two lists with nothing in them. */
export function securityOptions(options: string[]): Pick<HostConfig, "SecurityOpt" | "MaskedPaths" | "ReadonlyPaths"> {
  const read = options.map(securityOption);
  const others = read.filter((option) => option !== "systempaths=unconfined");
  const isUnconfined = others.length < read.length;
  return { SecurityOpt: others, ...(isUnconfined && { MaskedPaths: [], ReadonlyPaths: [] }) };
}

/** A seccomp profile is a file of the client's: its content is what is sent. */
function securityOption(option: string): string {
  const separator = option.includes("=") ? "=" : ":";
  const [name, ...rest] = option.split(separator);
  const value = rest.join(separator);
  if (value === "" && name !== "no-new-privileges") {
    throw new UsageError(`Invalid --security-opt: ${JSON.stringify(option)}`);
  }
  if (name !== "seccomp" || value === "unconfined" || value === "builtin") return option;
  let profile: string;
  try {
    profile = readFileSync(value, "utf8");
  } catch (error) {
    throw fileError("open", value, error, `opening seccomp profile (${value}) failed: `);
  }
  try {
    JSON.parse(profile);
  } catch (error) {
    const reason = `compacting json for seccomp profile (${value}) failed: ${errorMessage(error)}`;
    throw new EngineError("invalid_argument", reason, { path: value, cause: error });
  }
  // As text: numbers of 64 bits stay whole.
  return `seccomp=${profile.replace(/("(?:[^"\\]|\\.)*")|\s+/g, "$1")}`;
}

/** What each namespace flag may say; the daemon knows more of it. */
const modes = {
  pid: { pattern: /^(host|container:.+)?$/, name: "PID" },
  uts: { pattern: /^(host)?$/, name: "UTS" },
  userns: { pattern: /^(host|auto(:.*)?)?$/, name: "USER" },
  cgroupns: { pattern: /^(host|private)?$/, name: "CGROUP" },
} as const;

/** @throws UsageError in docker's words. */
export function checkNamespaceModes(flags: Record<keyof typeof modes, string>): void {
  for (const [flag, { pattern, name }] of Object.entries(modes)) {
    if (!pattern.test(flags[flag as keyof typeof modes])) throw new UsageError(`--${flag}: invalid ${name} mode`);
  }
}

const sysctls = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/** Those of a container's own namespaces, whose names docker's command line knows. @throws Error in its words. */
export function sysctl(text: string): string {
  const [name = "", value] = text.split("=");
  const isOwn =
    name.startsWith("net.") || name.startsWith("fs.mqueue.") || sysctls.some((own) => name === `kernel.${own}`);
  if (value === undefined || !isOwn) throw new Error(`sysctl '${text}' is not allowed`);
  return text;
}

/** `c 42:* rwm`. @throws Error in docker's words. */
export function deviceCgroupRule(text: string): string {
  if (/^[acb] (\d+|\*):(\d+|\*) [rwm]{1,3}$/.test(text)) return text;
  throw new Error(`invalid device cgroup format '${text}'`);
}
