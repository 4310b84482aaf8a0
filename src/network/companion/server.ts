/** A companion's side of its connections to the daemon. */

import { rmSync, statSync } from "node:fs";
import { F_GETFL, F_SETFL, O_NONBLOCK } from "../../../ffi/constants/open.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../../ffi/constants/socket.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { fcntl } from "../../../ffi/files.ts";
import { listenUnix } from "../../../ffi/scm.ts";
import { acceptNameless, receive, send } from "../../../ffi/socket/socket.ts";
import { EngineError, errorMessage, isEngineError, wrapError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { version } from "../../core/version.ts";
import { errorToWire } from "../../core/wire-error.ts";
import type { EventLoop, LoopTimer } from "./loop.ts";
import {
  type CompanionAnswer,
  type CompanionHello,
  type CompanionMode,
  type CompanionRequest,
  lineBytesMax,
} from "./protocol.ts";

const newline = 10;

/** What a companion does, beside being one. */
export interface CompanionService {
  /**
   * Answers a request. Doing it twice must be as doing it once: one whose answer was lost comes again.
   * @throws EngineError for the daemon. @returns the answer, anything that JSON can hold.
   */
  answer(request: string, parameters: unknown): unknown;
  /** It holds nothing: without a daemon there is no reason to live on. */
  readonly isIdle: boolean;
  /** Called now and then as long as there is no daemon: nobody else says that a container has ended. */
  lookAround?(): void;
}

/** How long it waits for its first daemon; without one it looks so often whether it still holds something. */
const lonelyMs = 10_000;
/** After the last daemon has gone. */
const graceMs = 500;

export class CompanionServer {
  readonly #loop: EventLoop;
  readonly #mode: CompanionMode;
  readonly #protocol: number;
  readonly #service: CompanionService;
  readonly #path: string;
  readonly #connections = new Set<Connection>();
  #listener: Fd | undefined;
  /** Of the socket's file, which stays its own as long as this process listens. */
  #inode: number | undefined;
  #lonely: LoopTimer | undefined;

  constructor(
    loop: EventLoop,
    options: { mode: CompanionMode; protocol: number; path: string; service: CompanionService },
  ) {
    this.#loop = loop;
    this.#mode = options.mode;
    this.#protocol = options.protocol;
    this.#path = options.path;
    this.#service = options.service;
  }

  /** @throws SyscallError when it cannot listen at its path. */
  listen(): void {
    // Whoever can connect can have this process listen on any port, or answer anybody's questions: mode 0600.
    const umask = process.umask(0o177);
    let listener: Fd;
    try {
      listener = listenUnix(this.#path);
    } finally {
      process.umask(umask);
    }
    this.#listener = listener;
    this.#inode = statSync(this.#path, { throwIfNoEntry: false })?.ino;
    fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
    this.#loop.watch(listener, EPOLLIN, () => this.#accept());
    this.#waitForDaemon(lonelyMs);
  }

  #accept(): void {
    for (let fd = acceptNameless(this.#listener!); fd !== undefined; fd = acceptNameless(this.#listener!)) {
      const connection: Connection = new Connection(this.#loop, fd, {
        line: (line) => this.#answer(connection, line),
        closed: () => {
          this.#connections.delete(connection);
          if (this.#connections.size === 0) this.#waitForDaemon(graceMs);
        },
      });
      this.#connections.add(connection);
    }
  }

  #waitForDaemon(ms: number): void {
    this.#loop.cancel(this.#lonely);
    this.#lonely = this.#loop.after(ms, () => {
      if (this.#connections.size > 0) return;
      this.#service.lookAround?.();
      if (this.#service.isIdle) this.end();
      else this.#waitForDaemon(lonelyMs);
    });
  }

  #answer(connection: Connection, line: string): void {
    let id = 0;
    let answer: CompanionAnswer;
    try {
      const message = JSON.parse(line) as CompanionRequest;
      id = message.id;
      answer = { id, ok: true, result: this.#handle(message) };
    } catch (error) {
      const known = isEngineError(error) ? error : wrapError(error, `tsd ${this.#mode}`);
      if (known.code === "internal") log("error", known.message, { stack: known.stack });
      answer = { id, ok: false, error: errorToWire(known) };
    }
    connection.send(`${JSON.stringify(answer)}\n`);
  }

  #handle({ request, arguments: parameters }: CompanionRequest): unknown {
    switch (request) {
      case "hello": {
        const hello: CompanionHello = { mode: this.#mode, protocol: this.#protocol, version, pid: process.pid };
        return hello;
      }
      case "end":
        // Whoever asks for it waits for the connection's end.
        this.end();
        return {};
      default:
        return this.#service.answer(request, parameters) ?? {};
    }
  }

  /** The path is given up before the socket: who finds nobody there any more can put another in its place. */
  end(): void {
    // Somebody may have removed it, and another companion listen there: that one must be found.
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode) rmSync(this.#path, { force: true });
    this.#loop.stop();
  }
}

/** One connection: lines in, lines out, whatever the kernel takes at a time. */
class Connection {
  readonly #loop: EventLoop;
  readonly #fd: Fd;
  readonly #token: number;
  readonly #events: { line(line: string): void; closed(): void };
  readonly #buffer = new Uint8Array(65_536);
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #queue: Uint8Array[] = [];

  constructor(loop: EventLoop, fd: Fd, events: { line(line: string): void; closed(): void }) {
    this.#loop = loop;
    this.#fd = fd;
    this.#events = events;
    this.#token = loop.watch(fd, EPOLLIN, (ready) => this.#onReady(ready));
  }

  send(text: string): void {
    this.#queue.push(Buffer.from(text));
    this.#flush();
  }

  #onReady(ready: number): void {
    if ((ready & EPOLLOUT) !== 0) this.#flush();
    if ((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) !== 0) this.#receive();
  }

  #receive(): void {
    try {
      while (!this.#fd.closed) {
        const length = receive(this.#fd, this.#buffer);
        if (length === undefined) return;
        if (length > 0) this.#take(this.#buffer.slice(0, length));
        else this.#close();
      }
    } catch (error) {
      log("debug", "a connection broke", { error: errorMessage(error) });
      this.#close();
    }
  }

  #take(bytes: Uint8Array): void {
    let rest = bytes;
    for (let end = rest.indexOf(newline); end >= 0; end = rest.indexOf(newline)) {
      this.#parts.push(rest.subarray(0, end));
      const line = Buffer.concat(this.#parts).toString();
      rest = rest.subarray(end + 1);
      this.#parts = [];
      this.#partBytes = 0;
      this.#events.line(line);
    }
    if (rest.length === 0) return;
    this.#parts.push(rest);
    this.#partBytes += rest.length;
    if (this.#partBytes > lineBytesMax) throw new EngineError("invalid_argument", "a request is too long");
  }

  #flush(): void {
    try {
      while (this.#queue.length > 0 && !this.#fd.closed) {
        const bytes = this.#queue[0]!;
        const sent = send(this.#fd, bytes);
        if (sent === undefined) break;
        if (sent < bytes.length) this.#queue[0] = bytes.subarray(sent);
        else this.#queue.shift();
      }
      if (!this.#fd.closed) this.#loop.change(this.#token, this.#queue.length > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
    } catch (error) {
      log("debug", "a connection broke", { error: errorMessage(error) });
      this.#close();
    }
  }

  #close(): void {
    if (this.#fd.closed) return;
    this.#loop.unwatch(this.#token);
    this.#fd.close();
    this.#events.closed();
  }
}
