import { basename } from "../../../ffi/path.ts";
import { type Bundle, readBundle } from "../bundle.ts";
import { explainBundle, explainExec } from "../explain.ts";
import { newestReport, readReports, reportTable, reportText } from "../failure-report.ts";
import { type CommandContext, command } from "./command.ts";
import { theProcess } from "./exec.ts";
import { execFlags } from "./exec-process.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import { printLine } from "./output.ts";

/** What may change the process of an exec, as with `exec` itself. */
const processFlags = [
  "cwd",
  "env",
  "tty",
  "user",
  "additional-gids",
  "process",
  "process-label",
  "apparmor",
  "no-new-privs",
  "cap",
] as const;
const { cwd, env, tty, user, process: processFile, apparmor, cap } = execFlags;

const flags = {
  bundle: { kind: "text", alias: "b", default: "", usage: "path to the root of the bundle directory" },
  format: { kind: "text", alias: "f", default: "text", usage: "select one of: text or json" },
  create: { kind: "boolean", usage: 'explain "create", where the process waits for "start", and not "run"' },
  exec: { kind: "text", usage: 'explain an "exec" in this container; the command follows after "--"' },
  failed: {
    kind: "boolean",
    usage: "print the newest failure of create, run, exec or start, of the container that is named or of any",
  },
  failures: { kind: "boolean", usage: "list the failures that are kept, the newest first" },
  "show-env": { kind: "boolean", usage: "print the values of environment variables too, and not only their names" },
  "no-pivot": { kind: "boolean", usage: "as of run" },
  "no-new-keyring": { kind: "boolean", usage: "as of run" },
  "preserve-fds": { kind: "integer", default: 0, usage: "as of run and exec" },
  cwd,
  env,
  tty,
  user,
  "additional-gids": execFlags["additional-gids"],
  process: processFile,
  "process-label": execFlags["process-label"],
  apparmor,
  "no-new-privs": execFlags["no-new-privs"],
  cap,
} as const satisfies FlagTable;
type Flags = FlagValues<typeof flags>;

export const verb = command({
  argumentsUsage: "[bundle]  || --exec <container-id> -- <command>  || --failed [container-id]  || --failures",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        "Prints the system calls that the first process of a bundle's container would make, in their order, each with\n" +
        "the field of config.json that asks for it, or with the reason why it is made unasked. Nothing is run. The\n" +
        "bundle defaults to the current directory.\n\n" +
        "With --exec, the calls of a process that would be added to a running container; --cwd, --env, --tty, --user\n" +
        "and the options after them change that process as they do with exec.\n\n" +
        "With --failed, the calls that a container has made which could not be created, run or started, or of a\n" +
        "process that could not be added: what the kernel answered to each, and the one that failed, marked with >>.\n" +
        "The newest 16 failures are kept below the state root, one of each container and command. They hold no\n" +
        "values of environment variables.",
    },
    {
      heading: "EXAMPLE",
      text: "To see which call has failed:\n\n    # tsd-runc run -b /bundle web\n    # tsd-runc explain --failed web",
    },
  ],
  flags,
  arguments: { min: 0, max: Number.POSITIVE_INFINITY },
  async run(context, given, positional) {
    const { format } = given;
    if (format !== "text" && format !== "json") throw new Error("invalid format option");
    const wording = { format, showEnvironment: given["show-env"] } as const;
    checkUse(given, positional);
    if (given.failures) printFailures(context, format);
    else if (given.failed) printFailure(context, format, positional[0]);
    else if (given.exec !== undefined) {
      const process = await theProcess(context.root, given.exec, positional, given);
      const options = { ...wording, preserveFds: given["preserve-fds"] };
      printLine(explainExec(context.root, given.exec, process, options).trimEnd());
    } else {
      const bundle = readBundle(positional[0] ?? given.bundle);
      const systemd = context.systemdCgroup ? await unitOf(bundle) : undefined;
      const text = explainBundle(bundle, {
        ...(systemd && { systemd }),
        ...wording,
        start: given.create ? "wait" : "now",
        noPivot: given["no-pivot"],
        noNewKeyring: given["no-new-keyring"],
        preserveFds: given["preserve-fds"],
      });
      printLine(text.trimEnd());
    }
    return 0;
  },
});

function printFailures({ root }: CommandContext, format: "text" | "json"): void {
  const reports = readReports(root);
  if (format === "text") printLine(reportTable(reports));
  else printLine(JSON.stringify(reports.map(({ plan: _, ...rest }) => rest)));
}

function printFailure({ root }: CommandContext, format: "text" | "json", container: string | undefined): void {
  const report = newestReport(root, container);
  printLine(format === "text" ? reportText(report).trimEnd() : JSON.stringify(report, null, 2));
}

/** Options that mean nothing together are refused: what was asked for would not be what is printed. */
function checkUse(given: Flags, positional: string[]): void {
  const modes = (["exec", "failed", "failures"] as const).filter(
    (name) => given[name] !== undefined && given[name] !== false,
  );
  const [mode, other] = modes;
  if (other !== undefined) throw new Error(`--${mode} and --${other} cannot be used together`);
  const changes = processFlags.filter((name) => isGiven(given[name]));
  if (mode !== "exec" && changes.length > 0) throw new Error(`--${changes[0]} has a meaning only with --exec`);
  if (mode !== undefined) {
    const unused = (["bundle", "create", "no-pivot", "no-new-keyring"] as const).find((name) => isGiven(given[name]));
    if (unused !== undefined) throw new Error(`--${unused} has no meaning with --${mode}`);
  }
  if ((mode === "failed" || mode === "failures") && given["show-env"]) {
    throw new Error(`--show-env has no meaning with --${mode}: reports of failures hold no values of variables`);
  }
  const max = mode === "exec" ? Number.POSITIVE_INFINITY : mode === "failures" ? 0 : 1;
  if (positional.length > max)
    throw new Error(`"explain" takes at most ${max} argument(s) here: ${positional.slice(max).join(" ")}`);
}

function isGiven(value: string | boolean | number | readonly unknown[] | undefined): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false && value !== "";
}

/** Without asking systemd, which may not be there: as for the system's own on an ordinary host. */
async function unitOf({ config, path }: Bundle): Promise<{ unit: string; path: string }> {
  const { placeUnit } = await import("../cgroup/systemd/names.ts");
  return placeUnit(config.linux?.cgroupsPath, basename(path), "system.slice");
}
