/** Listens for the engine and does what it asks, for the one container that this shim gets. */

import { rmSync } from "node:fs";
import { EngineError, isEngineError, wrapError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { version } from "../core/version.ts";
import { errorToWire } from "../core/wire-error.ts";
import { Attachment } from "./attachment.ts";
import { checkSocketPath } from "./connection.ts";
import { type ContainerContext, ShimmedContainer } from "./container.ts";
import type { Household } from "./household.ts";
import { cancelTrim, trimWhenQuiet } from "./memory.ts";
import { Peer } from "./peer.ts";
import { type HelloResult, protocolVersion, type Request, type Requests, type ShimState } from "./protocol.ts";
import { checkRequest, parseLine, requestId } from "./request.ts";

/** How long a spare shim waits for its first client. */
const firstClientMs = 30_000;

/** When a spare shim makes itself ready for its container: the daemon that started it may be busy with another start. */
const prepareMs = 15;

/** Whatever a start may leave behind in this process does not add up beyond these. */
const reusesMax = 50;

export class ShimServer {
  readonly #context: ContainerContext;
  readonly #household: Household;
  readonly #peers = new Set<Peer>();
  /** Clients that attached before there was a container. */
  readonly #early = new Set<Attachment>();
  readonly #quit = Promise.withResolvers<void>();
  #listener: Bun.UnixSocketListener<Peer> | undefined;
  #container: ShimmedContainer | undefined;
  /** A container is being started: there will not be another. Resolves when that has come to its end. */
  #starting: { id: string; settled: Promise<unknown> } | undefined;
  #released = false;
  /** How many containers it had before this one. */
  #reuses = 0;
  #firstClient: Timer | undefined;

  constructor(context: Omit<ContainerContext, "daemonStays">, household: Household) {
    this.#household = household;
    this.#context = { ...context, daemonStays: (durationMs) => this.#daemonStays(durationMs) };
  }

  /** Resolves when the shim has nothing more to do. */
  get done(): Promise<void> {
    return this.#quit.promise;
  }

  /** @throws EngineError when it cannot listen at the path. */
  listen(): void {
    const path = this.#context.socketPath;
    checkSocketPath(path);
    // Anybody who can connect can run a container as this user: the socket is made with mode 0600.
    const umask = process.umask(0o177);
    try {
      this.#listener = Bun.listen<Peer>({
        unix: path,
        allowHalfOpen: true,
        socket: {
          open: (socket) => this.#accept(socket),
          data: (socket, chunk) => socket.data.onData(chunk),
          end: (socket) => socket.data.onEnd(),
          drain: (socket) => socket.data.onDrain(),
          close: (socket) => socket.data.onClose(),
          error: (socket) => socket.data.onClose(),
        },
      });
    } catch (error) {
      throw wrapError(error, `listen at ${path}`, { path });
    } finally {
      process.umask(umask);
    }
    this.#firstClient = setTimeout(() => this.#quitIfUseless(), firstClientMs);
  }

  /** It has a container that runs. */
  get isParent(): boolean {
    return this.#container !== undefined && !this.#container.ended;
  }

  end(): void {
    this.#stop();
    this.#quit.resolve();
  }

  async #daemonStays(durationMs: number): Promise<boolean> {
    const daemons = [...this.#peers].filter((peer) => !peer.streaming);
    await Bun.sleep(durationMs);
    return daemons.some((peer) => !peer.closed);
  }

  #accept(socket: Bun.Socket<Peer>): void {
    clearTimeout(this.#firstClient);
    const peer = new Peer(socket, {
      line: (from, line) => void this.#receive(from, line),
      closed: (from) => {
        this.#peers.delete(from);
        this.#quitIfUseless();
      },
    });
    socket.data = peer;
    this.#peers.add(peer);
  }

  async #receive(peer: Peer, line: string): Promise<void> {
    let id: number | null = null;
    try {
      const message = parseLine(line);
      id = requestId(message);
      const request = checkRequest(message);
      // At once, before the next byte of this connection is looked at.
      if (request.request === "attach") return await this.#attach(peer, request);
      peer.respond({ id, ok: true, result: await this.#answer(request) });
      if (request.request === "release") this.#quitIfUseless();
    } catch (error) {
      const known = isEngineError(error) ? error : wrapError(error, "shim");
      if (known.code === "internal") log("error", known.message, { stack: known.stack });
      peer.respond({ id, ok: false, error: errorToWire(known) });
      if (peer.streaming) peer.finish();
    }
  }

  async #answer(request: Exclude<Request, { request: "attach" }>): Promise<object> {
    switch (request.request) {
      case "hello":
        return this.#hello();
      case "state":
        if (request.settled) {
          await this.#starting?.settled;
          await this.#container?.settled();
        }
        return this.#state();
      case "run":
        return this.#run(request);
      case "wait":
        return { exit: await this.#bound().wait(request.execId) };
      case "exec":
        return this.#bound().exec(request);
      case "release":
        return { spare: await this.#release(request.force ?? false, request.reuse ?? false) };
      case "share":
        this.#household.open(request.socketPath);
        return {};
      default:
        await this.#change(request);
        return {};
    }
  }

  async #change(
    request: Extract<
      Request,
      { request: "signal" | "resize" | "endExec" | "closeStdin" | "pause" | "resume" | "update" | "checkpoint" }
    >,
  ): Promise<void> {
    const container = this.#bound();
    switch (request.request) {
      case "signal":
        return container.signal(request.signal, request.all ?? false, request.execId);
      case "resize":
        return container.resize(request, request.execId);
      case "endExec":
        return container.endExec(request.execId, request.graceMs);
      case "closeStdin":
        return container.closeStdin(request.execId);
      case "pause":
        return container.pause();
      case "resume":
        return container.resume();
      case "update":
        return container.update(request.resources);
      case "checkpoint":
        return container.checkpoint(request);
    }
  }

  #bound(): ShimmedContainer {
    if (this.#container === undefined) throw new EngineError("conflict", "this shim has no container yet");
    return this.#container;
  }

  async #prepare(): Promise<void> {
    if (this.#starting !== undefined || this.#container !== undefined) return;
    const { rehearse } = await import("./rehearse.ts");
    await rehearse();
  }

  #hello(): HelloResult {
    const { status, containerId } = this.#state();
    return { protocol: protocolVersion, version, pid: process.pid, status, containerId };
  }

  #state(): ShimState {
    if (this.#container !== undefined) {
      return { ...this.#container.state(), containerId: this.#container.options.id };
    }
    return {
      status: this.#starting === undefined ? "spare" : "starting",
      containerId: this.#starting?.id ?? null,
      pid: null,
      startedAt: null,
      exit: null,
      execs: [],
      attached: this.#early.size,
      logLostLines: 0,
    };
  }

  async #run(request: Extract<Request, { request: "run" }>): Promise<object> {
    if (this.#starting !== undefined || this.#container !== undefined) {
      throw new EngineError("conflict", "this shim has a container already");
    }
    if (this.#released) throw new EngineError("conflict", "this shim was released");
    const settled = Promise.withResolvers<void>();
    this.#starting = { id: request.container.id, settled: settled.promise };
    const early = [...this.#early];
    this.#early.clear();
    try {
      const { container, started } = await ShimmedContainer.run(request.container, this.#context, early);
      this.#container = container;
      trimWhenQuiet();
      container.onRemoved = () => this.#quitIfUseless();
      return started;
    } catch (error) {
      for (const { peer } of early) peer.finish();
      throw error;
    } finally {
      this.#starting = undefined;
      settled.resolve();
    }
  }

  async #attach(peer: Peer, request: Extract<Request, { request: "attach" }>): Promise<void> {
    const attachment = new Attachment(peer, request);
    if (request.exec !== undefined) {
      const container = this.#bound();
      peer.becomeStream();
      peer.holdOutput();
      const started = await container.exec(request.exec, attachment);
      peer.respond({ id: request.id, ok: true, result: started });
      return;
    }
    let result: Requests["attach"]["result"] = {};
    if (this.#container === undefined) {
      if (request.execId !== undefined) throw new EngineError("conflict", "this shim has no container yet");
      if (this.#starting !== undefined) throw new EngineError("conflict", "the container is being started");
      peer.becomeStream();
      peer.pauseInput();
      this.#early.add(attachment);
    } else {
      peer.becomeStream();
      this.#container.attach(attachment, request.execId);
      if (request.seam && request.execId === undefined) {
        const seam = this.#container.logSeam();
        if (seam instanceof Promise) {
          // The stream begins at the moment of the question.
          peer.holdOutput();
          result = { seam: await seam };
        } else result = { seam };
      }
    }
    // No output can come before: it is read in a later turn.
    peer.respond({ id: request.id, ok: true, result });
  }

  /** @returns whether this shim is spare again. */
  async #release(force: boolean, reuse: boolean): Promise<boolean> {
    await this.#starting?.settled;
    const container = this.#container;
    if (container !== undefined) {
      if (!container.ended) {
        if (!force) throw new EngineError("conflict", `container ${container.options.id} is running`);
        await container.kill();
      }
      await container.remove();
    }
    if (reuse && !this.#household.isShared && container?.leavesNothing && this.#reuses < reusesMax) {
      this.#becomeSpare();
      return true;
    }
    this.#released = true;
    return false;
  }

  /** Everything that was made for a container is made anew for the next; what stays is code that has run before. */
  #becomeSpare(): void {
    this.#reuses++;
    this.#container = undefined;
    if (cancelTrim()) this.prepareSoon();
  }

  /** Gets ready for a start while nobody waits for one. */
  prepareSoon(): void {
    setTimeout(() => void this.#prepare(), prepareMs).unref();
  }

  /** No new clients; those that still have output to take get it. */
  #stop(): void {
    if (this.#listener === undefined) return;
    this.#listener.stop();
    this.#listener = undefined;
    rmSync(this.#context.socketPath, { force: true });
  }

  /**
   * A spare shim ends with its last client. One whose container has ended and is removed does, too: what there is to
   * know is in exit.json and in the log.
   */
  #quitIfUseless(): void {
    if (this.#starting !== undefined) return;
    if (this.#released) {
      // The connection that asked for it may stay open; only streams with output are waited for.
      for (const peer of this.#peers) if (peer.queuedBytes > 0) return;
    } else if (this.#container === undefined) {
      // Only who can start a container keeps a spare shim: when that one is gone, those that attached wait in vain.
      for (const peer of this.#peers) if (!peer.streaming) return;
    } else if (this.#peers.size > 0 || !this.#container.removed) return;
    this.#stop();
    this.#quit.resolve();
  }
}
