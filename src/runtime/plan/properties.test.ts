/** What holds for the plan of every valid configuration: random ones are compiled, and nothing is run. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import * as fc from "fast-check";
import { capabilityNumbers } from "../../../ffi/constants/capability.ts";
import { O_CLOEXEC, RESOLVE_BENEATH, RESOLVE_IN_ROOT } from "../../../ffi/constants/open.ts";
import { assemble, copyPlan } from "../../../ffi/plan/assemble.ts";
import { explainAsText } from "../../../ffi/plan/explain.ts";
import { formatCall } from "../../../ffi/plan/format.ts";
import { type Plan, type PlanRecord, planSizeMax } from "../../../ffi/plan/records.ts";
import type { Argument } from "../../../ffi/plan/values.ts";
import { formatExactJson } from "../../core/exact-json.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "../../oci/runtime.ts";
import { compileSeccompProgram } from "../seccomp/compile.ts";
import { arbitraryConfig } from "../testing/arbitrary-config.ts";
import { flagsOf, happyPath, successors, textsOf } from "../testing/plan-walk.ts";
import { forAll } from "../testing/rounds.ts";
import type { CompiledPlan, ExecContext, InitContext } from "./context.ts";
import { compileExec } from "./exec.ts";
import { compileInit } from "./init.ts";
import { isReason } from "./reasons.ts";

setDefaultTimeout(600_000);

const context: fc.Arbitrary<InitContext> = fc.record(
  {
    id: fc.constant("c1"),
    bundle: fc.constant("/bundle"),
    start: fc.constantFrom("now", "wait"),
    cgroupProcs: fc.nat(3),
    cgroupHierarchies: fc.constantFrom(
      [{ name: "", options: [], directory: "/sys/fs/cgroup/c1" }],
      [{ name: "cpu,cpuacct", options: ["cpu", "cpuacct"], directory: "/sys/fs/cgroup/cpu/c1" }],
    ),
    preserveFds: fc.nat(3),
    noPivot: fc.boolean(),
    noNewKeyring: fc.boolean(),
    unprivileged: fc.boolean(),
    rootfsMount: fc.constantFrom({ lower: ["/l/1", "/l/2"] }, { lower: ["/l/1"], upper: "/l/u", work: "/l/w" }),
  },
  { requiredKeys: ["id", "bundle", "start", "cgroupProcs", "cgroupHierarchies"] },
) as fc.Arbitrary<InitContext>;

interface Compiled extends CompiledPlan {
  config: RuntimeConfig;
  context: InitContext | ExecContext;
}

/** Through the text of config.json, as it comes from a bundle. */
function read(config: RuntimeConfig): RuntimeConfig {
  return parseRuntimeConfig(formatExactJson(config), "config.json");
}

interface Input {
  verb: "init" | "exec";
  config: RuntimeConfig;
  context: InitContext;
}

function compile({ verb, config: random, context: given }: Input): Compiled {
  const config = read(random);
  const { seccomp, namespaces = [] } = config.linux ?? {};
  const filter = seccomp && compileSeccompProgram(seccomp);
  const whole = { ...given, ...(filter && { seccomp: { program: filter.bytes, flags: filter.flags } }) };
  if (verb === "init") return { ...compileInit(config, whole), config, context: whole };
  const { rootfsMount: _, ...common } = whole;
  const asExec = { ...common, namespaces: namespaces.map(({ type }) => type), cgroupFallback: given.noPivot ?? false };
  return { ...compileExec(config.process!, asExec), config, context: asExec };
}

const inits = fc.record<Input>({ verb: fc.constant("init"), config: arbitraryConfig, context });
const plans = fc.record<Input>({ verb: fc.constantFrom("init", "exec"), config: arbitraryConfig, context });
const rounds = 40;

function forPlans(inputs: fc.Arbitrary<Input>, holds: (compiled: Compiled) => void): void {
  forAll(inputs, rounds, (input) => holds(compile(input)));
}

function calls({ plan }: { plan: Plan }): PlanRecord[] {
  return happyPath(plan).map(({ record }) => record);
}

function numbersOf({ descriptors }: CompiledPlan): Record<string, number> {
  return Object.fromEntries(["sync", "plan", ...descriptors].map((name, index) => [name, index + 3]));
}

describe("the plan of any valid configuration", () => {
  test("first hides its process, and ends by becoming process.args with process.env", () => {
    forPlans(plans, (compiled) => {
      const path = calls(compiled);
      expect(formatCall(path[0]!)).toBe("prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)");
      expect(path.at(-1)!.call).toBe(hasProgram(compiled) ? "execve" : "exit_group");
      if (!hasProgram(compiled)) return;
      const [program, ...rest] = textsOf(path.at(-1)!);
      const { args = [], env = [] } = compiled.config.process!;
      expect(program).toEndWith(args[0]!);
      expect(rest).toEqual([...args, ...env]);
    });
  });

  test("has no jump out of itself, and none that leads round in a circle", () => {
    forPlans(plans, (compiled) => {
      const { plan } = compiled;
      const states = new Uint8Array(plan.records.length);
      const [open, done] = [1, 2];
      const visit = (index: number): void => {
        if (states[index] === done) return;
        if (states[index] === open) throw new Error(`a circle through record ${index}`);
        states[index] = open;
        for (const next of successors(plan, index)) {
          if (!(next >= 0 && next < plan.records.length)) throw new Error(`record ${index} leads to ${next}`);
          visit(next);
        }
        states[index] = done;
      };
      visit(0);
      if (!hasProgram(compiled)) return;
      const unreached = plan.records.filter((_, index) => states[index] !== done);
      expect(unreached.map((record) => formatCall(record))).toEqual([]);
    });
  });

  test("gives for each call a field that is there, or a rule", () => {
    forPlans(plans, ({ plan, config }) => {
      const without = plan.records.filter(({ why }) => why === undefined || !isReason(config, why));
      expect(without.map((record) => `${record.why}: ${formatCall(record)}`)).toEqual([]);
    });
  });

  test("fits into its memory, the same bytes each time", () => {
    forPlans(inits, (compiled) => {
      const numbers = numbersOf(compiled);
      const bytesOf = (plan: Plan): Uint8Array => {
        const assembled = assemble(plan, numbers);
        expect(assembled.size).toBeLessThanOrEqual(planSizeMax);
        const words = new Uint8Array(assembled.words.length + assembled.texts.length);
        copyPlan({ ...assembled, textOffset: assembled.words.length }, words);
        return words;
      };
      const again = compileInit(compiled.config, compiled.context as InitContext).plan;
      expect(Bun.hash(bytesOf(again))).toBe(Bun.hash(bytesOf(compiled.plan)));
    });
  });

  test("uses no descriptor but those that it has given the names of, or has opened and not closed", () => {
    forPlans(plans, (compiled) => {
      const { plan } = compiled;
      const closed = new Set<number>();
      const reached = new Set<number>();
      for (const { index, record } of happyPath(plan)) {
        for (const used of results(record)) {
          if (closed.has(used)) throw new Error(`${formatCall(record)} uses what was closed`);
          if (!reached.has(used)) throw new Error(`${formatCall(record)} uses a result that is not there`);
        }
        if (record.call === "close") for (const used of results(record)) closed.add(used);
        reached.add(record.into?.record ?? index);
      }
    });
  });

  test("leaves nothing open for the program but the streams and what is preserved", () => {
    forPlans(plans, (compiled) => {
      const path = calls(compiled);
      const { preserveFds = 0 } = compiled.context;
      const sweeps = path.filter(({ call }) => call === "close_range");
      expect(sweeps.map((record) => record.args.slice(0, 2))).toEqual([[3 + preserveFds, 0xffffffff]]);
      const openers = ["openat", "openat2", "open_tree", "fsopen", "fsmount", "socket", "fcntl", "dup", "dup3"];
      const after = path.slice(path.indexOf(sweeps[0]!)).filter(({ call }) => openers.includes(call));
      for (const record of after) if ((flagsOf(record) & O_CLOEXEC) === 0) throw new Error(formatCall(record));
    });
  });

  test("lets signals arrive again before its program runs, and before it waits for start", () => {
    forPlans(plans, (compiled) => {
      if (!hasProgram(compiled)) return;
      const path = calls(compiled);
      const masks = path.filter(({ call }) => call === "rt_sigprocmask");
      expect(masks.length).toBe(1);
      const created = path.findIndex(({ what }) => what === "checkpoint created");
      if (created >= 0) expect(path.indexOf(masks[0]!)).toBeLessThan(created);
      expect(path.filter(({ call }) => call === "rt_sigaction").length).toBeGreaterThan(10);
    });
  });

  test("makes, after its filter is loaded, few calls, which a filter has to let through", () => {
    forPlans(plans, (compiled) => {
      if (!hasProgram(compiled)) return;
      const path = calls(compiled);
      const loads = path.filter(({ call }) => call === "seccomp");
      expect(loads.length).toBe(compiled.context.seccomp === undefined ? 0 : 1);
      if (loads.length === 0) return;
      const after = path.slice(path.indexOf(loads[0]!) + 1).map(({ call }) => call);
      const last = ["execve", "exit_group", "select", "write", "read", "close"];
      const privileged =
        "chdir getcwd prctl setgroups setresgid setresuid capset setsid ioctl rt_sigprocmask faccessat openat openat2 prlimit64 clone load ppoll wait4";
      const allowed = compiled.config.process!.noNewPrivileges ? last : [...last, ...privileged.split(" ")];
      expect([...new Set(after)].filter((call) => !allowed.includes(call))).toEqual([]);
    });
  });

  test("drops every capability that the bounding set does not name", () => {
    forPlans(plans, (compiled) => {
      const kept = new Set(compiled.config.process!.capabilities?.bounding ?? []);
      const dropped = calls(compiled).filter(({ why }) => why === "process.capabilities.bounding");
      const known = Object.entries(capabilityNumbers);
      const names = new Set(
        dropped.map((record) => /CAP_\w+/.exec(formatCall(record).slice(6).replace("PR_CAPBSET_DROP", ""))?.[0]),
      );
      for (const [name] of known) expect([name, names.has(name)]).toEqual([name, !kept.has(name)]);
    });
  });

  test("is explained without an environment's values", () => {
    forPlans(plans, ({ plan, config }) => {
      const process = { ...config.process!, env: ["TOKEN=hush-hush", "hush-hush"] };
      expect(explainAsText(compileInit({ ...config, process }, { ...initContext }).plan)).not.toContain("hush");
      expect(explainAsText(plan).split("\n").length).toBeGreaterThan(plan.records.length);
    });
  });
});

const initContext: InitContext = {
  id: "c1",
  bundle: "/bundle",
  start: "now",
  cgroupProcs: 0,
  cgroupHierarchies: [{ name: "", options: [], directory: "/sys/fs/cgroup/c1" }],
};

/** Whether there is a place at all where the program could be. */
function hasProgram({ config }: Compiled): boolean {
  const { args = [], env = [] } = config.process!;
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  return args[0]!.includes("/") || path.split(":").some((directory) => directory !== "");
}

/** The records whose results a call takes. */
function results(record: PlanRecord): number[] {
  const found: number[] = [];
  const visit = (argument: Argument): void => {
    if (typeof argument !== "object" || argument === null) return;
    if (argument.kind === "result") found.push(argument.record);
    else if (argument.kind === "half") found.push(argument.low.record);
    else if (argument.kind === "words") argument.items.forEach(visit);
  };
  record.args.forEach(visit);
  return found;
}

describe("the paths of the root file system", () => {
  const inside = ["mkdirat", "mknodat", "symlinkat", "unlinkat", "fchownat", "fchmodat"];
  const byDescriptor = ["move_mount", "mount_setattr", "statx"];

  test("are walked by openat2 alone, and mounted on by descriptor", () => {
    forPlans(inits, ({ plan, config, context: given }) => {
      const root = config.root!.path.startsWith("/") ? config.root!.path : `/bundle/${config.root!.path}`;
      for (const { record } of happyPath(plan)) {
        const { call } = record;
        const [text = ""] = textsOf(record);
        const wrong = (): never => {
          throw new Error(formatCall(record));
        };
        if (call === "openat2" && (flagsOf(record) & (RESOLVE_IN_ROOT | RESOLVE_BENEATH)) === 0 && text !== "/proc")
          wrong();
        if (inside.includes(call) && nameIn(record).includes("/")) wrong();
        if (byDescriptor.includes(call) && textsOf(record).some((path) => path !== "" && path !== root && path !== "/"))
          wrong();
        const overlay = (given as InitContext).rootfsMount !== undefined && record.why === "root.path";
        if (call === "mount" && !overlay && textsOf(record).some((path) => path !== "/" && path !== ".")) wrong();
        if (call === "umount2" && text !== ".") wrong();
      }
    });
  });

  /** What is made, which stands after the directory; a symlink's target comes before it. */
  function nameIn(record: PlanRecord): string {
    return textsOf(record)[record.call === "symlinkat" ? 1 : 0]!;
  }

  test("are read-only last, and nothing is made in the root after pivot_root", () => {
    forPlans(inits, ({ plan }) => {
      const path = happyPath(plan).map(({ record }) => record);
      const entered = path.findIndex(({ call }) => call === "pivot_root" || call === "chroot");
      const later = path.slice(Math.max(entered, 0)).map(({ call }) => call);
      if (entered >= 0) expect(later.filter((call) => inside.includes(call) || call === "move_mount")).toEqual([]);
    });
  });
});
