import type { CommandDef } from "citty";
import { basename } from "../../ffi/path.ts";
import { EngineError, isEngineError, isKernelError } from "../core/errors.ts";
import { type Command, invoke } from "./command.ts";
import { boolFlag, FlagError, parseFlags, UsageError } from "./flags.ts";
import { connectionFlags, globalFlags } from "./global-flags.ts";
import { OutputClosed, printError, printLine } from "./output.ts";
import { openSession, type Session } from "./session.ts";

const logLevels = new Set(["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"]);

/**
 * The command line: global flags, then a command of the tree, then that command's own words.
 * @returns the exit status.
 */
export async function cliMain(argv: string[]): Promise<number> {
  const program = basename(process.argv0) === "docker" ? "docker" : "tsd";
  try {
    const { values, given, positionals } = parseFlags(globalFlags(), argv, false);
    if (!logLevels.has(values["log-level"].toLowerCase())) {
      throw new EngineError("invalid_argument", `unable to parse logging level: ${values["log-level"]}`, {
        hint: 'use "debug", "info", "warn", "error" or "fatal"',
      });
    }
    if (values.version) return await printVersion(program);
    // docker tells its plugins and `info` by this variable.
    if (values.debug) process.env.DEBUG = "1";
    const globalWords = argv.slice(0, argv.length - positionals.length);
    const flags = connectionFlags(values, given);
    const session = openSession({ program, globalWords, words: positionals, flags, config: values.config });
    if (positionals.length === 0 || values.help) return await showRootHelp(program, positionals, session);
    return await dispatch(positionals, session);
  } catch (error) {
    return fail(error, program, "");
  }
}

async function printVersion(program: string): Promise<number> {
  const { commit, version } = await import("../core/version.ts");
  printLine(`${program === "docker" ? "Docker" : "tsd"} version ${version}, build ${commit}`);
  return 0;
}

async function showRootHelp(program: string, words: string[], session: Session): Promise<number> {
  if (words.length > 0) return dispatch([...words, "--help"], session);
  const { rootHelp } = await import("./usage.ts");
  const { validPlugins } = await import("./plugins/plugins.ts");
  printLine(rootHelp(program, globalFlags(session), await validPlugins(session)));
  return 0;
}

/** Walks the tree as far as the words name commands, then runs what it found or shows its help. */
async function dispatch(words: string[], session: Session): Promise<number> {
  if (words[0] === "__complete") return (await import("./completion/main.ts")).completeMain(words.slice(1), session);
  const { leafOf, rootCommand } = await import("./tree.ts");
  let node: CommandDef = rootCommand;
  let depth = 0;
  for (; depth < words.length; depth++) {
    const children = (node.subCommands ?? {}) as Record<string, CommandDef>;
    const child = Object.hasOwn(children, words[depth]!) ? children[words[depth]!] : undefined;
    if (child === undefined) break;
    node = child;
  }
  const path = words.slice(0, depth).join(" ");
  const rest = words.slice(depth);
  const leaf = leafOf(node);
  if (leaf === undefined) return showGroup(node, path, rest, session);
  const definition = await leaf.load();
  if (asksForHelp(definition, rest)) {
    const { commandHelp } = await import("./usage.ts");
    printLine(commandHelp(session.program, path, definition));
    return 0;
  }
  try {
    return await invoke(definition, path, session, rest);
  } catch (error) {
    return fail(error, session.program, path, definition);
  }
}

/**
 * `--help` among the command's own flags, or `-h` where the command has no other use for it; words of another program,
 * behind the first positional, do not count.
 */
function asksForHelp(definition: Command, rest: string[]): boolean {
  const { flags, interspersed = true } = definition;
  const isShortFree = Object.values(flags).every(({ short }) => short !== "h");
  if (!rest.includes("--help") && !(isShortFree && rest.includes("-h"))) return false;
  const help = rest.indexOf("--help");
  if (interspersed && help >= 0) return !rest.includes("--") || help < rest.indexOf("--");
  try {
    return parseFlags({ ...flags, help: boolFlag("", isShortFree ? { short: "h" } : {}) }, rest, interspersed).values
      .help;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

/** `help WORD…`: as much as `WORD… --help`, of which the first has to be a command. */
async function help(words: string[], session: Session): Promise<number> {
  const { rootCommand } = await import("./tree.ts");
  const [first] = words;
  if (first !== undefined && !Object.hasOwn(rootCommand.subCommands ?? {}, first)) {
    const { findPlugin } = await import("./plugins/plugins.ts");
    if (findPlugin(first, session) === undefined) {
      printError(`unknown help topic: ${words.join(" ")}`);
      return 1;
    }
  }
  return dispatch([...words, "--help"], session);
}

async function showGroup(node: CommandDef, path: string, rest: string[], session: Session): Promise<number> {
  const { groupHelp } = await import("./usage.ts");
  const { hintForMissing } = await import("./tree/missing.ts");
  const [word] = rest;
  if (path === "" && word === "help") return help(rest.slice(1), session);
  if (word === undefined || word === "--help" || word === "-h") {
    printLine(groupHelp(session.program, path, node));
    return 0;
  }
  const name = [session.program, path].filter(Boolean).join(" ");
  if (word.startsWith("-")) throw new FlagError(`unknown flag: ${word}`);
  if (path === "") {
    const { findPlugin, runPlugin } = await import("./plugins/plugins.ts");
    const plugin = findPlugin(word, session);
    if (plugin !== undefined) return runPlugin(plugin, session, rest);
  }
  const hint = hintForMissing(word, path);
  printError(`${session.program}: unknown command: ${name} ${word}`);
  if (hint === undefined) {
    if (path !== "") printError(`\nUsage:  ${name}`);
    printError(`\nRun '${name} --help' for more information`);
  } else printError(`hint: ${hint}`);
  return 1;
}

/** Prints what went wrong: the cause in one line and, where there is one, a line of advice. */
async function fail(error: unknown, program: string, path: string, definition?: Command): Promise<number> {
  const name = [program, path].filter(Boolean).join(" ");
  if (error instanceof OutputClosed) {
    if (error.isTold) printError(error.message);
    return error.exitStatus;
  }
  if (error instanceof UsageError) {
    printError(`${error instanceof FlagError ? "" : `${program}: `}${error.message}`);
    if (error.hint !== undefined) {
      printError(`hint: ${error.hint}`);
      return error.exitStatus;
    }
    printError("");
    if (definition) printError(`Usage:  ${name} ${definition.usage}\n`);
    else if (path === "") printError(`Usage:  ${name} [OPTIONS] COMMAND [ARG...]\n`);
    printError(`Run '${name} --help' for more information`);
    return error.exitStatus;
  }
  if (isEngineError(error)) {
    const { engineFailed, runExitStatus } = await import("./exit-status.ts");
    printError(definition?.errorStatus === engineFailed ? `${program}: ${error.message}` : error.message);
    if (error.hint) printError(`hint: ${error.hint}`);
    return definition?.errorStatus === undefined ? 1 : runExitStatus(error, definition.errorStatus);
  }
  if (isKernelError(error)) {
    printError(`${name}: ${error.message}`);
    return definition?.errorStatus ?? 1;
  }
  throw error;
}
