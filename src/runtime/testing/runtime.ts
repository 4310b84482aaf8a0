/** The runtime's command line as a child process, as its callers see it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tsdCommand } from "../../core/testing/tsd.ts";

/** The argument vector of a runtime verb; TSD_RUNTIME names another runtime to run the same tests with. */
export function runtimeCommand(root: string, words: string[]): string[] {
  const { TSD_RUNTIME: other } = process.env;
  const program = other === undefined ? [...tsdCommand, "runtime"] : [other];
  return [...program, "--root", root, ...words];
}

export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a verb to its end. Its output goes to files: a container that stays has them open, and a pipe would not end.
 */
export async function runtime(root: string, ...words: string[]): Promise<Outcome> {
  const directory = mkdtempSync("/var/tmp/tsd-output-");
  const [out, err] = [join(directory, "out"), join(directory, "err")];
  try {
    const stdio = ["ignore", Bun.file(out), Bun.file(err)] as const;
    const status = await Bun.spawn(runtimeCommand(root, words), { stdio: [...stdio] }).exited;
    return { status, stdout: readFileSync(out, "utf8"), stderr: readFileSync(err, "utf8") };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Runs a verb that must succeed. @returns its standard output. */
export async function succeed(root: string, ...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await runtime(root, ...words);
  if (status !== 0) throw new Error(`${words.join(" ")}: status ${status}: ${stdout}${stderr}`);
  return stdout;
}

/** Runs a verb that must fail. @returns its message. */
export async function fail(root: string, ...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await runtime(root, ...words);
  if (status === 0) throw new Error(`${words.join(" ")} succeeded: ${stdout}${stderr}`);
  const quoted = /level=error msg=(".*")$/m.exec(stderr)?.[1];
  return quoted === undefined ? stderr : JSON.parse(quoted);
}
