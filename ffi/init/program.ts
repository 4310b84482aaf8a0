/** The init of `--init` as an executable file: the interpreter of plans, with the one plan that it runs. */
import { assemble } from "../plan/assemble.ts";
import { executableImage } from "../plan/elf.ts";
import { interpreterCode } from "../plan/interpreter.ts";
import { planBase } from "../plan/records.ts";
import { initEntryCode } from "./entry.ts";
import { type InitProgram, initPlan } from "./plan.ts";

/**
 * A static executable for one program: called with `-- PROGRAM ARGUMENT…`, it is the parent of that.
 * @throws Error on another architecture; TypeError for a name or a path with a NUL.
 */
export function initExecutable(program: InitProgram): Uint8Array {
  if (process.arch !== "x64") throw new Error(`an init for ${process.arch} is not built: tsd runs on x86-64`);
  const { words, texts, textOffset } = assemble(initPlan(program), {});
  return executableImage(Uint8Array.fromHex(initEntryCode + interpreterCode), [
    { address: planBase, bytes: words, writable: true },
    { address: planBase + textOffset, bytes: texts, writable: false },
  ]);
}
