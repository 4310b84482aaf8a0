import { type FlagSet, type FlagValues, type ParsedFlags, parseFlags, UsageError } from "./flags.ts";
import type { Session } from "./session.ts";

/** How many positional arguments a command takes, checked before it runs. */
export interface Arity {
  min: number;
  max: number;
}

/** One command: what its help says, which flags it has, and what it does. */
export interface Command<F extends FlagSet = FlagSet> {
  /** Behind the program's name and the command's, for example `[OPTIONS] IMAGE [COMMAND] [ARG...]`. */
  usage: string;
  summary: string;
  /** All the names it is known by, for the "Aliases:" block: `container ls`, `ps`. */
  aliases?: string[];
  flags: F;
  arity: Arity;
  /** False: the first positional ends the flags, because the words behind it belong to another program. */
  interspersed?: boolean;
  /** The status of errors that the daemon reports, where it is not 1: docker run's 125. */
  errorStatus?: number;
  run(invocation: Invocation<F>): Promise<number>;
}

export interface Invocation<F extends FlagSet = FlagSet> {
  session: Session;
  flags: FlagValues<F>;
  given: ParsedFlags<F>["given"];
  positionals: string[];
}

/** Gives a command's `run` the types of its own flags. */
export function command<F extends FlagSet>(definition: Command<F>): Command<F> {
  return definition;
}

export const noArguments: Arity = { min: 0, max: 0 };
export const oneArgument: Arity = { min: 1, max: 1 };
export const someArguments: Arity = { min: 1, max: Number.POSITIVE_INFINITY };

/** Reads the flags, checks the number of positionals, runs. @throws UsageError in docker's words. */
export async function invoke(definition: Command, path: string, session: Session, argv: string[]): Promise<number> {
  const { values, given, positionals } = parseFlags(definition.flags, argv, definition.interspersed ?? true);
  checkArity(definition.arity, `${session.program} ${path}`, positionals.length);
  return definition.run({ session, flags: values, given, positionals });
}

function checkArity({ min, max }: Arity, name: string, count: number): void {
  if (count >= min && count <= max) return;
  throw new UsageError(`'${name}' ${arityComplaint({ min, max }, count)}`, 1);
}

function arityComplaint({ min, max }: Arity, count: number): string {
  if (max === 0) return "accepts no arguments";
  const plural = (n: number) => (n === 1 ? "argument" : "arguments");
  if (min === max) return `requires ${min} ${plural(min)}`;
  if (min > 0 && Number.isFinite(max)) return `requires at least ${min} and at most ${max} ${plural(max)}`;
  return count < min ? `requires at least ${min} ${plural(min)}` : `requires at most ${max} ${plural(max)}`;
}
