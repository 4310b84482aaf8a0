/**
 * Seccomp profiles in Docker's format, which `--security-opt seccomp=FILE` takes: OCI's, with rules that hold only for
 * some capabilities, kernels and architectures. An OCI profile is one without such conditions.
 */
import * as v from "valibot";
import { EngineError } from "../core/errors.ts";
import { type LinuxSeccomp, type LinuxSeccompRule, seccompAction, seccompOperator } from "../oci/runtime.ts";

const optional = <Schema extends v.GenericSchema>(schema: Schema) =>
  v.pipe(
    v.nullish(schema),
    v.transform((value) => value ?? undefined),
  );
const integer = v.pipe(v.number(), v.integer(), v.minValue(0));
const condition = v.object({
  caps: optional(v.array(v.string())),
  arches: optional(v.array(v.string())),
  minKernel: optional(v.pipe(v.string(), v.regex(/^\d+\.\d+/, "not a kernel version"))),
});
const argument = v.object({
  index: v.pipe(integer, v.maxValue(5)),
  value: v.union([integer, v.bigint()]),
  valueTwo: optional(v.union([integer, v.bigint()])),
  op: seccompOperator,
});
const profileSchema = v.object({
  defaultAction: seccompAction,
  defaultErrnoRet: optional(integer),
  architectures: optional(v.array(v.string())),
  archMap: optional(v.array(v.object({ architecture: v.string(), subArchitectures: optional(v.array(v.string())) }))),
  flags: optional(
    v.array(
      v.picklist([
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
      ]),
    ),
  ),
  listenerPath: optional(v.string()),
  listenerMetadata: optional(v.string()),
  syscalls: optional(
    v.array(
      v.object({
        name: optional(v.string()),
        names: optional(v.array(v.string())),
        action: seccompAction,
        errnoRet: optional(integer),
        args: optional(v.array(argument)),
        includes: optional(condition),
        excludes: optional(condition),
      }),
    ),
  ),
});
type Condition = v.InferOutput<typeof condition>;

export interface SeccompContext {
  /** The container's bounding set. */
  capabilities: readonly string[];
  kernel: readonly [number, number];
}

/** Go's name for x86-64, as the profiles have it. */
const architecture = "amd64";

/**
 * Reads a profile and leaves the rules that hold for this container.
 * @throws EngineError invalid_argument that names the field.
 */
export function seccompFromProfile(json: string, context: SeccompContext): LinuxSeccomp {
  const profile = readProfile(json);
  const { defaultErrnoRet, flags, listenerPath, listenerMetadata } = profile;
  return {
    defaultAction: profile.defaultAction,
    ...(defaultErrnoRet !== undefined && { defaultErrnoRet }),
    architectures: architecturesOf(profile.architectures, profile.archMap),
    ...(flags !== undefined && { flags }),
    ...(listenerPath !== undefined && { listenerPath }),
    ...(listenerMetadata !== undefined && { listenerMetadata }),
    syscalls: (profile.syscalls ?? []).filter((rule) => holds(rule, context)).map(ruleOf),
  };
}

type Profile = v.InferOutput<typeof profileSchema>;
type ProfileRule = NonNullable<Profile["syscalls"]>[number];

function readProfile(json: string): Profile {
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (error) {
    throw new EngineError("invalid_argument", `decoding seccomp profile failed: ${(error as Error).message}`);
  }
  const result = v.safeParse(profileSchema, value, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new EngineError("invalid_argument", `seccomp profile: ${v.getDotPath(issue) ?? "profile"}: ${issue.message}`);
}

/** 64-bit masks that a double cannot hold become bigints. */
function parseJson(json: string): unknown {
  return JSON.parse(json, (_key, value, context?: { source?: string }) => {
    const source = context?.source;
    if (typeof value !== "number" || Number.isSafeInteger(value) || !source || !/^\d+$/.test(source)) return value;
    return BigInt(source);
  });
}

function architecturesOf(listed: Profile["architectures"], map: Profile["archMap"]): string[] {
  if (listed?.length && map?.length) {
    throw new EngineError(
      "invalid_argument",
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
  }
  if (!map?.length) return listed ?? [];
  const own = map.find((entry) => entry.architecture === "SCMP_ARCH_X86_64");
  return own === undefined ? [] : [own.architecture, ...(own.subArchitectures ?? [])];
}

function ruleOf(rule: ProfileRule): LinuxSeccompRule {
  if (rule.name && rule.names?.length) {
    throw new EngineError(
      "invalid_argument",
      "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
    );
  }
  const names = rule.name ? [rule.name] : (rule.names ?? []);
  const { errnoRet, args } = rule;
  return {
    names,
    action: rule.action,
    ...(errnoRet !== undefined && { errnoRet }),
    ...(args !== undefined && { args }),
  };
}

/** A rule is excluded by any one of its conditions, and included by all of them. */
function holds({ includes, excludes }: ProfileRule, context: SeccompContext): boolean {
  if (excludes !== undefined) {
    if (excludes.arches?.includes(architecture)) return false;
    if (excludes.caps?.some((name) => context.capabilities.includes(name))) return false;
    if (excludes.minKernel !== undefined && isKernelAtLeast(excludes, context)) return false;
  }
  if (includes === undefined) return true;
  if (includes.arches?.length && !includes.arches.includes(architecture)) return false;
  return (
    (includes.caps ?? []).every((name) => context.capabilities.includes(name)) && isKernelAtLeast(includes, context)
  );
}

function isKernelAtLeast({ minKernel }: Condition, { kernel }: SeccompContext): boolean {
  if (minKernel === undefined) return true;
  const [major = 0, minor = 0] = minKernel.split(".").map((part) => Number.parseInt(part, 10));
  return kernel[0] > major || (kernel[0] === major && kernel[1] >= minor);
}
