import { basename, join, resolve } from "../../../ffi/path.ts";
import { errorMessage } from "../../core/errors.ts";
import { keepFailure } from "../keep-failure.ts";
import { type CommandContext, CommandFailure } from "./command.ts";
import { commands, type VerbName } from "./commands.ts";
import { parseFlags, UsageError } from "./flags.ts";
import { defaultRoot, globalFlags } from "./global-flags.ts";
import { isLogFormat, RuntimeLog } from "./log.ts";

/** runc's status when it does not know the command. */
const unknownCommandStatus = 3;

/**
 * `tsd runtime …`, also by the names tsd-runc and runc: the OCI runtime's command line.
 * @returns the exit status; an error has been written to the log.
 */
export async function runtimeMain(words: string[]): Promise<number> {
  const calledAs = basename(process.argv0);
  const program = calledAs === "runc" || calledAs === "tsd-runc" ? calledAs : "tsd runtime";
  // Until the flags have said where it is, the log is standard error.
  const session: { log: RuntimeLog } = { log: new RuntimeLog({ format: "text", debug: false }) };
  try {
    return await runProgram(program, words, session);
  } catch (error) {
    session.log.fatal(errorMessage(error));
    return error instanceof CommandFailure ? error.status : 1;
  }
}

async function runProgram(program: string, words: string[], session: { log: RuntimeLog }): Promise<number> {
  const { flags, positional, help } = await orUsage(
    () => parseFlags(globalFlags, words, { interspersed: false }),
    async () => (await import("./help.ts")).programHelp(program),
  );
  if (flags.version) return print((await import("./version-text.ts")).versionText());
  const [name, ...rest] = positional;
  if (help || name === undefined) return print((await import("./help.ts")).programHelp(program));
  if (name === "help" || name === "h") return printHelpOf(program, rest[0]);

  const format = flags["log-format"];
  if (!isLogFormat(format)) throw new Error(`invalid log-format: ${format}`);
  session.log = new RuntimeLog({ ...(flags.log !== undefined && { path: flags.log }), format, debug: flags.debug });
  const ignoreCgroupErrors = isRootless(flags.rootless);
  const systemdCgroup = flags["systemd-cgroup"];
  const context = { program, root: stateRoot(flags.root), ignoreCgroupErrors, systemdCgroup, log: session.log };
  return runVerb(context, name, rest);
}

/** Absolute: hooks and the container's own process have other working directories. */
function stateRoot(given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  const { XDG_RUNTIME_DIR: userDirectory } = process.env;
  return process.geteuid?.() !== 0 && userDirectory ? join(userDirectory, "tsd", "runtime") : defaultRoot;
}

function isRootless(value: string): boolean {
  if (value === "auto") return process.geteuid?.() !== 0;
  if (value === "true" || value === "false") return value === "true";
  throw new Error(`invalid value for --rootless: ${value}; use true, false or auto`);
}

async function runVerb(context: CommandContext, name: string, words: string[]): Promise<number> {
  if (!isVerb(name)) throw unknownCommand(context.program, name);
  const { verb } = await commands[name].load();
  const helpText = async () => (await import("./help.ts")).commandHelp(context.program, name, verb);
  const { flags, positional, help } = await orUsage(() => {
    const parsed = parseFlags(verb.flags, words, { interspersed: verb.stopAtPositional !== true });
    if (!parsed.help) checkCount(`${context.program}: "${name}"`, parsed.positional.length, verb.arguments);
    return parsed;
  }, helpText);
  if (help) return print(await helpText());
  try {
    return await verb.run(context, flags, positional);
  } catch (error) {
    if (name === "create" || name === "run" || name === "exec" || name === "start") {
      await keepFailure(context.root, name, positional[0]!, error, context.log.hears);
    }
    throw error;
  }
}

function isVerb(name: string): name is VerbName {
  return Object.hasOwn(commands, name);
}

function unknownCommand(program: string, name: string): CommandFailure {
  return new CommandFailure(`"${name}" is no command; see "${program} --help"`, unknownCommandStatus);
}

function checkCount(subject: string, count: number, { min, max }: { min: number; max: number }): void {
  if (min === max && count !== min) throw new UsageError(`${subject} requires exactly ${min} argument(s)`);
  if (count < min) throw new UsageError(`${subject} requires a minimum of ${min} argument(s)`);
  if (count > max) throw new UsageError(`${subject} requires a maximum of ${max} argument(s)`);
}

/** Shows the help below a wrong command line before its error goes to the log. */
async function orUsage<T>(parse: () => T, helpText: () => Promise<string>): Promise<T> {
  try {
    return parse();
  } catch (error) {
    if (error instanceof UsageError) print(`Incorrect Usage: ${error.message}\n\n${await helpText()}`);
    throw error;
  }
}

async function printHelpOf(program: string, name: string | undefined): Promise<number> {
  const { commandHelp, programHelp } = await import("./help.ts");
  if (name === undefined) return print(programHelp(program));
  if (!isVerb(name)) throw unknownCommand(program, name);
  return print(commandHelp(program, name, (await commands[name].load()).verb));
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}
