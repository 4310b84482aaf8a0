import { printError, printLine } from "../output.ts";
import type { Session } from "../session.ts";
import { askDaemon, complete } from "./candidates.ts";

/** Directives of docker's scripts. */
const noFiles = 4;
const asUsual = 0;

/**
 * `__complete WORD…`, which shells call: not a command like others, as its words are not its own flags.
 * @returns the exit status.
 */
export async function completeMain(words: readonly string[], session: Session): Promise<number> {
  const { candidates, allowsFiles } = await complete(words, askDaemon(session));
  for (const { text, description } of candidates) printLine(description ? `${text}\t${description}` : text);
  printLine(`:${allowsFiles ? asUsual : noFiles}`);
  printError(`Completion ended with directive: ShellCompDirective${allowsFiles ? "Default" : "NoFileComp"}`);
  return 0;
}
