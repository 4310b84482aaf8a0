import { basename } from "../../ffi/path.ts";
import { explainAsText, explainPlan } from "../../ffi/plan/explain.ts";
import type { Bundle } from "./bundle.ts";
import { openCgroup } from "./cgroup/cgroup.ts";
import { cgroupHierarchies } from "./cgroup-hierarchies.ts";
import { checkConfig } from "./check-config.ts";
import { withHome } from "./home.ts";
import { compileInit } from "./plan/init.ts";
import { reasonsFor } from "./plan/reasons.ts";
import { compileSeccompProgram } from "./seccomp/compile.ts";

export interface ExplainOptions {
  format: "text" | "json";
  start: "now" | "wait";
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  /** The values of environment variables too, and not only their names. */
  showEnvironment: boolean;
}

/**
 * The plan that the bundle's first process would run, in words. Nothing is made, opened for writing or run, and no
 * privilege is needed.
 * @throws EngineError for a configuration that createContainer would refuse, too.
 */
export function explainBundle(bundle: Bundle, { format, showEnvironment, ...options }: ExplainOptions): string {
  const { config, path } = bundle;
  const { process, rootfs } = checkConfig(config, path);
  const cgroup = openCgroup(config.linux?.cgroupsPath || `/${basename(path)}`);
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
      // On v2 the process is born in its cgroup.
      cgroupProcs: cgroup.version === 2 ? 0 : hierarchies.length,
      cgroupHierarchies: hierarchies,
      ...(filter && { seccomp: { program: filter.bytes, flags: filter.flags } }),
    },
  );
  const words = { reasonOf: reasonsFor(config), environment: showEnvironment };
  if (format === "text") return explainAsText(compiled.plan, words);
  return `${JSON.stringify(explainPlan(compiled.plan, words), null, 2)}\n`;
}
