/** Running programs in tests: everything captured, nothing left hanging. */

export interface CommandResult {
  status: number;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  /** Text or bytes for standard input; none: empty. */
  stdin?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  /** The command is killed and the test fails after this long. */
  timeoutMs?: number;
}

export async function command(argv: string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { stdout, ...result } = await commandBytes(argv, options);
  return { ...result, stdout: new TextDecoder().decode(stdout) };
}

export async function commandBytes(
  argv: string[],
  options: CommandOptions = {},
): Promise<{ status: number; stdout: Uint8Array; stderr: string }> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const child = Bun.spawn(argv, {
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
    stdout: "pipe",
    stderr: "pipe",
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(timer);
  if (timedOut) throw new Error(`${argv.join(" ")}: no end after ${timeoutMs} ms\n${stderr}`);
  return { status, stdout, stderr };
}

/** Runs a program that has to succeed. @returns its standard output, without the last newline. */
export async function succeed(argv: string[], options: CommandOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await command(argv, options);
  if (status !== 0) throw new Error(`${argv.join(" ")}: exit status ${status}\n${stdout}${stderr}`);
  return stdout.replace(/\n$/, "");
}

/**
 * Waits until a condition holds, looking at it every few milliseconds, and for no more than half of the time: a look may
 * start a process, and what is waited for needs the processor, too.
 * @throws when it still does not hold at the end.
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const looked = performance.now();
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not so after ${timeoutMs} ms`);
    await Bun.sleep(Math.max(5, performance.now() - looked));
  }
}
