/** How tsd starts itself again as another of its modes. */

/** The argument vector that runs this same executable with these arguments. */
export function selfCommand(...args: string[]): string[] {
  // In the compiled executable argv[1] is a path in Bun's virtual file system; from source it is main.ts.
  const script = process.argv[1];
  const compiled = script === undefined || script.startsWith("/$bunfs/");
  // The kernel's word for a file that an upgrade has replaced (proc_pid_exe(5)): what is there now is the one to run.
  const executable = process.execPath.replace(/ \(deleted\)$/, "");
  return compiled ? [executable, ...args] : [executable, script, ...args];
}

/**
 * The environment without what makes Bun or Node do other things: BUN_BE_BUN turns the executable into Bun's
 * own command line, BUN_OPTIONS and NODE_OPTIONS inject flags. Nothing of it may reach a child that is tsd.
 */
export function scrubbedEnvironment(environment: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && !/^(BUN|NODE)_/.test(name)) kept[name] = value;
  }
  return kept;
}
