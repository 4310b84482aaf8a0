/**
 * The daemon's side of a companion: a process of its own that outlives the daemon. It is started when it is first
 * needed, found again by its socket, replaced when it is of another version, and started again when somebody kills it.
 */
import { closeSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { type LogLevel, log } from "../../core/log.ts";
import { selfCommand } from "../../core/self.ts";
import { openLog, serverFailure, startServer } from "../../core/server-process.ts";
import { asEngineError, Link, LostLink } from "./link.ts";
import type { CompanionHello, CompanionMode } from "./protocol.ts";

export type Ask = (request: string, parameters: unknown) => Promise<unknown>;

export interface CompanionOptions {
  mode: CompanionMode;
  protocol: number;
  socketPath: string;
  /** Its own log, appended to. */
  logPath: string;
  logLevel?: LogLevel;
  /** Told the process that was started: it may belong into another cgroup. */
  onStarted?: (pid: number) => void;
  /**
   * Tells it the whole truth, whatever it knew before: a process that is new, or one that was found. It goes before
   * all other requests of a connection.
   */
  restate: (ask: Ask) => Promise<void>;
  /** Whether it is started again when it ends: whether it held something. */
  isNeeded: () => boolean;
  /** For tests: what starts it in place of this executable. */
  command?: readonly string[];
  /** For tests: in place of `uselessMs`. */
  uselessMs?: number;
}

/** A connection that breaks is made anew so often before the request fails. */
const attemptsMax = 3;
/** Between failed attempts to start it again: doubled each time, up to the second. */
const retryMs = 200;
const retryMaxMs = 15_000;
/** One that holds nothing is kept so long: containers that come and go need not each wait for its start. */
const uselessMs = 5_000;
/** sockaddr_un's sun_path has 108 bytes, the last of them a zero: unix(7). */
const socketPathBytesMax = 107;

export class Companion {
  readonly #options: CompanionOptions;
  #link: Promise<Link> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryAfterMs = retryMs;
  #useless: NodeJS.Timeout | undefined;
  /** Requests under way. */
  #asking = 0;
  #closed = false;

  constructor(options: CompanionOptions) {
    const { mode, socketPath } = options;
    const bytes = Buffer.byteLength(socketPath);
    if (bytes > socketPathBytesMax) {
      const text = `socket path of tsd ${mode} has ${bytes} bytes, at most ${socketPathBytesMax} fit: ${socketPath}`;
      throw new EngineError("invalid_argument", text, {
        path: socketPath,
        hint: "choose a shorter --state directory",
      });
    }
    this.#options = options;
  }

  /**
   * Asks, and starts the process first if there is none. A request may reach it twice, when its first answer was lost.
   * @throws EngineError as the companion answered; unavailable when it cannot be started.
   */
  async ask(request: string, parameters: unknown): Promise<unknown> {
    this.#asking++;
    try {
      return await this.#askUntilAnswered(request, parameters);
    } finally {
      this.#asking--;
      this.#letGoLater();
    }
  }

  async #askUntilAnswered(request: string, parameters: unknown): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        const link = await this.#ensure();
        return await link.ask(request, parameters);
      } catch (error) {
        if (!(error instanceof LostLink) || attempt === attemptsMax || this.#closed) {
          throw asEngineError(error, `tsd ${this.#options.mode}`);
        }
      }
    }
  }

  /**
   * Asks one that is there. Where there is none the next is told everything anyway.
   * @returns undefined when there is none, or it was lost.
   */
  async tell(request: string, parameters: unknown): Promise<unknown> {
    let link: Link | undefined;
    try {
      // Waited for as `ask` does: what is told first must not be overtaken.
      link = await this.#link;
      return await link?.ask(request, parameters);
    } catch (error) {
      if (link === undefined || error instanceof LostLink) return undefined;
      throw error;
    } finally {
      this.#letGoLater();
    }
  }

  /**
   * Finds one that an earlier daemon has started, tells it the truth, and starts one where it is needed.
   * @throws EngineError when that did not work; where it is needed it is tried again until it does.
   */
  async restore(): Promise<void> {
    if (this.#options.isNeeded()) {
      try {
        await this.#ensure();
      } catch (error) {
        this.#restartLater();
        throw asEngineError(error, `tsd ${this.#options.mode}`);
      }
      return;
    }
    const found = await this.#find();
    if (found === undefined) return;
    try {
      await this.#options.restate((request, parameters) => found.ask(request, parameters));
    } finally {
      // It holds nothing now: without a connection it ends by itself.
      found.close();
    }
  }

  /** Leaves the process alone: it goes on with what it holds. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#useless);
    this.#disconnect();
  }

  #disconnect(): void {
    const link = this.#link;
    this.#link = undefined;
    link?.then(
      (open) => open.close(),
      () => undefined,
    );
  }

  /** Without a connection, one that holds nothing ends by itself. */
  #letGoLater(): void {
    clearTimeout(this.#useless);
    if (this.#closed || this.#asking > 0 || this.#options.isNeeded()) return;
    this.#useless = setTimeout(() => {
      if (this.#asking === 0 && !this.#options.isNeeded()) this.#disconnect();
    }, this.#options.uselessMs ?? uselessMs);
    this.#useless.unref();
  }

  #ensure(): Promise<Link> {
    if (this.#closed) throw new EngineError("unavailable", `tsd ${this.#options.mode}: the daemon is stopping`);
    if (this.#link !== undefined) return this.#link;
    clearTimeout(this.#retry);
    const opening = this.#open();
    this.#link = opening;
    opening.then(
      (link) => {
        this.#retryAfterMs = retryMs;
        void link.closed.then(() => this.#onLost(opening));
      },
      () => {
        if (this.#link === opening) this.#link = undefined;
      },
    );
    return opening;
  }

  #onLost(link: Promise<Link>): void {
    // It was let go of.
    if (this.#link !== link) return;
    this.#link = undefined;
    const { mode, isNeeded } = this.#options;
    log(isNeeded() ? "warn" : "info", `tsd ${mode} has ended`);
    this.#restart();
  }

  #restart(): void {
    if (this.#closed || !this.#options.isNeeded()) return;
    this.#ensure().catch((error) => {
      const { mode, logPath } = this.#options;
      log("error", `could not start tsd ${mode} again`, { error: errorMessage(error), log: logPath });
      this.#restartLater();
    });
  }

  #restartLater(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#restart(), this.#retryAfterMs);
    this.#retry.unref();
    this.#retryAfterMs = Math.min(2 * this.#retryAfterMs, retryMaxMs);
  }

  async #open(): Promise<Link> {
    const link = (await this.#find()) ?? (await this.#start());
    try {
      await this.#options.restate((request, parameters) => link.ask(request, parameters));
      return link;
    } catch (error) {
      link.close();
      throw error;
    }
  }

  /** The one that listens, if it is of this protocol; another is ended. */
  async #find(): Promise<Link | undefined> {
    const { mode, protocol, socketPath } = this.#options;
    const link = await Link.open(socketPath);
    if (link === undefined) return undefined;
    try {
      const hello = (await link.ask("hello", {})) as CompanionHello;
      if (hello.protocol === protocol && hello.mode === mode) return link;
      const fields = { pid: hello.pid, version: hello.version, protocol: hello.protocol };
      log("info", `replacing a tsd ${mode} of another version`, fields);
      await link.ask("end", {});
      await link.closed;
      return undefined;
    } catch (error) {
      link.close();
      // It ended just now, as one does that holds nothing.
      if (error instanceof LostLink) return undefined;
      throw error;
    }
  }

  async #start(): Promise<Link> {
    const { mode, socketPath, logPath, logLevel, onStarted } = this.#options;
    mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
    // Of one that was killed: nobody listens there.
    rmSync(socketPath, { force: true });
    const command = this.#options.command ?? selfCommand(mode);
    const logFile = openLog(`tsd ${mode}`, logPath);
    try {
      const words = [...command, "--socket", socketPath, "--log-level", logLevel ?? "info"];
      const { child, listens } = await startServer(words, logFile, onStarted);
      const link = listens ? await Link.open(socketPath) : undefined;
      if (link !== undefined) return link;
      // One that said that it listens, and cannot be reached, is of no use and in the way of the next.
      child.kill("SIGKILL");
      throw await serverFailure(`tsd ${mode}`, child, logPath);
    } finally {
      closeSync(logFile);
    }
  }
}
