/**
 * Text in Dockerfile's syntax, cut into instructions: comments and empty lines go, a line that ends in a backslash goes
 * on in the next (Dockerfile reference, "Format").
 */
import { EngineError } from "../../core/errors.ts";

export interface InstructionLine {
  /** In lower case. */
  name: string;
  /** What follows it, without the blanks around it. */
  rest: string;
  /** The whole, as it was written. */
  text: string;
}

const continuation = /\\[ \t]*$/;

export function parseInstructionLines(text: string): InstructionLine[] {
  const instructions: InstructionLine[] = [];
  let gathered = "";
  let isOpen = false;
  const finish = () => {
    const whole = gathered.trim();
    gathered = "";
    isOpen = false;
    if (whole !== "") instructions.push(instruction(whole));
  };
  for (const line of text.split(/\r?\n/)) {
    // Within a continued instruction too, comments and empty lines are as if they were not there.
    if (/^\s*(#|$)/.test(line)) continue;
    const goesOn = continuation.test(line);
    gathered += goesOn ? line.replace(continuation, "") : line;
    isOpen = goesOn;
    if (!isOpen) finish();
  }
  if (gathered !== "") finish();
  return instructions;
}

function instruction(text: string): InstructionLine {
  const [, name = "", rest = ""] = /^(\S+)\s*([\s\S]*)$/.exec(text) ?? [];
  return { name: name.toLowerCase(), rest: rest.trim(), text };
}

/** @throws EngineError invalid_argument, in docker's words, for an instruction that has nothing behind its name. */
export function requireArgument({ name, rest }: InstructionLine): string {
  if (rest === "") throw new EngineError("invalid_argument", `${name.toUpperCase()} requires at least one argument`);
  return rest;
}

/** The JSON list of strings that an instruction may be written as; undefined where it is something else. */
export function jsonStrings(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
  } catch {
    return undefined; // then it is a command for a shell that begins with a bracket
  }
}
