/** For tests: `tsd proxy` as a process of its own, where the thread is, in a directory that goes with the test. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tsdCommand } from "../../../../core/testing/tsd.ts";
import { Companion } from "../../../companion/companion.ts";
import {
  type ProxyRequestName,
  type ProxyRequests,
  proxyProtocol,
  type Refusal,
  type SocketGroup,
} from "../protocol.ts";

export const proxyCommand = [...tsdCommand, "proxy"];

export class TestProxy implements AsyncDisposable {
  readonly directory: string = mkdtempSync("/var/tmp/tsd-proxy-");
  readonly #companion: Companion;
  pid = 0;
  /** What it is told when it is started again. */
  truth: SocketGroup[] = [];

  /** @param prefix what starts it in another state than this process has: prlimit(1), setpriv(1). */
  constructor(prefix: readonly string[] = []) {
    this.#companion = new Companion({
      mode: "proxy",
      protocol: proxyProtocol,
      socketPath: join(this.directory, "proxy.sock"),
      logPath: join(this.directory, "log"),
      logLevel: "debug",
      command: [...prefix, ...proxyCommand],
      onStarted: (pid) => {
        this.pid = pid;
      },
      restate: async (ask) => void (await ask("replace", { groups: this.truth })),
      isNeeded: () => this.truth.length > 0,
    });
  }

  async ask<Name extends ProxyRequestName>(
    name: Name,
    parameters: ProxyRequests[Name]["parameters"],
  ): Promise<ProxyRequests[Name]["result"]> {
    return (await this.#companion.ask(name, parameters)) as ProxyRequests[Name]["result"];
  }

  async hold(...groups: SocketGroup[]): Promise<Refusal[]> {
    return (await this.ask("hold", { groups })).refused;
  }

  get log(): string {
    return readFileSync(join(this.directory, "log"), "utf8");
  }

  /** A field of /proc/<pid>/status, in bytes. */
  memory(field: string): number {
    return (
      1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))![1])
    );
  }

  /** Processor time in milliseconds. */
  get processorMs(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** How much of that passes while nothing happens for a while: a loop that turns in vain takes all of it. */
  async idleMs(): Promise<number> {
    const before = this.processorMs;
    await Bun.sleep(300);
    return this.processorMs - before;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#companion.close();
    if (this.pid > 0) {
      try {
        process.kill(this.pid, "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
