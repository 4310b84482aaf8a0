import { basename } from "../../ffi/path.ts";
import { explainAsText, explainPlan, type ExplainOptions as Words } from "../../ffi/plan/explain.ts";
import { EngineError } from "../core/errors.ts";
import type { OciProcess } from "../oci/runtime.ts";
import type { Bundle } from "./bundle.ts";
import { openCgroup } from "./cgroup/cgroup.ts";
import { cgroupHierarchies } from "./cgroup-hierarchies.ts";
import { checkArguments, checkConfig } from "./check-config.ts";
import { containerCgroup } from "./container-cgroup.ts";
import { withHome } from "./home.ts";
import type { CompiledPlan } from "./plan/context.ts";
import { compileExec } from "./plan/exec.ts";
import { compileInit } from "./plan/init.ts";
import { reasonsFor } from "./plan/reasons.ts";
import { compileSeccompProgram } from "./seccomp/compile.ts";
import { containerStatus } from "./status.ts";
import { readConfig, readRecord } from "./store.ts";

interface Wording {
  format: "text" | "json";
  /** The values of environment variables too, and not only their names. */
  showEnvironment: boolean;
}

export interface ExplainOptions extends Wording {
  start: "now" | "wait";
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  /** `--systemd-cgroup`: the unit, and its cgroup's path. */
  systemd?: { unit: string; path: string };
}

/**
 * The plan that the bundle's first process would run, in words. Nothing is made, opened for writing or run, and no
 * privilege is needed.
 * @throws EngineError for a configuration that createContainer would refuse, too.
 */
export function explainBundle(
  bundle: Bundle,
  { format, showEnvironment, systemd, ...options }: ExplainOptions,
): string {
  const { config, path } = bundle;
  const { process, rootfs } = checkConfig(config, path);
  const cgroup = openCgroup(systemd?.path ?? (config.linux?.cgroupsPath || `/${basename(path)}`));
  const isScope = systemd?.unit.endsWith(".scope") ?? false;
  const hierarchies = cgroupHierarchies(cgroup);
  const { seccomp } = config.linux ?? {};
  const filter = seccomp && compileSeccompProgram(seccomp);
  const env = withHome(process.env ?? [], rootfs, process.user?.uid ?? 0);
  const compiled = compileInit(
    { ...config, process: { ...process, env } },
    {
      ...options,
      id: basename(path),
      bundle: path,
      // On v2 the process is born in its cgroup; into its own hierarchy of v1 systemd moves it.
      cgroupProcs: cgroup.version === 2 ? 0 : hierarchies.length - (isScope ? 1 : 0),
      awaitsAdmission: isScope,
      cgroupHierarchies: hierarchies,
      ...(filter && { seccomp: { program: filter.bytes, flags: filter.flags } }),
    },
  );
  return inWords(compiled, config, { format, showEnvironment });
}

/**
 * The plan of a process that `exec` would add to a container, likewise.
 * @throws EngineError not_found; conflict for a container that has no processes to join.
 */
export function explainExec(
  root: string,
  id: string,
  process: OciProcess,
  { preserveFds, ...wording }: Wording & Pick<ExplainOptions, "preserveFds">,
): string {
  checkArguments(process);
  const record = readRecord(root, id);
  const status = containerStatus(root, record);
  if (status.status === "creating" || status.status === "stopped") {
    throw new EngineError("conflict", `cannot exec in a ${status.status} container`);
  }
  const config = readConfig(root, id);
  const cgroup = containerCgroup(record);
  const { seccomp, namespaces = [] } = config.linux ?? {};
  const filter = seccomp && compileSeccompProgram(seccomp);
  const env = withHome(process.env ?? [], `/proc/${status.init.pid}/root`, process.user?.uid ?? 0);
  const compiled = compileExec(
    { ...process, env },
    {
      id,
      namespaces: namespaces.map(({ type }) => type),
      cgroupProcs: cgroup === undefined || cgroup.version === 2 ? 0 : cgroupHierarchies(cgroup).length,
      unprivileged: globalThis.process.geteuid?.() !== 0,
      preserveFds,
      ...(filter && { seccomp: { program: filter.bytes, flags: filter.flags } }),
    },
  );
  return inWords(compiled, { process, linux: config.linux }, wording);
}

function inWords({ plan }: CompiledPlan, config: object, { format, showEnvironment }: Wording): string {
  const words: Words = { reasonOf: reasonsFor(config), environment: showEnvironment };
  return format === "text" ? explainAsText(plan, words) : `${JSON.stringify(explainPlan(plan, words), null, 2)}\n`;
}
