/**
 * A connection to a message bus, or to a program that speaks D-Bus itself. Synchronous: the thread waits for each
 * answer. It does not know sockets; whoever opens one brings it as a Transport.
 */
import { EngineError, errorMessage } from "../errors.ts";
import { type DbusMessage, decodeMessage, encodeMessage, messageLength, messageTypes } from "./message.ts";
import type { DbusValue } from "./types.ts";

/** A stream of bytes, both ways. */
export interface Transport {
  /** Returns when all bytes are sent. @throws when the other side has gone. */
  send(bytes: Uint8Array): void;
  /**
   * Waits for bytes. @returns none when the other side has closed; undefined when `deadlineMs`, by performance.now(),
   * has passed.
   */
  receive(deadlineMs: number): Uint8Array | undefined;
  close(): void;
}

export interface DbusCall {
  destination?: string;
  path: string;
  interface: string;
  member: string;
  signature?: string;
  body?: DbusValue[];
}

/** The other side answered with an error: `org.freedesktop.systemd1.UnitExists: Unit x.scope already exists.` */
export class DbusError extends Error {
  override readonly name = "DbusError";
  readonly errorName: string;

  constructor(errorName: string, text: string) {
    super(text === "" ? errorName : text);
    this.errorName = errorName;
  }
}

/** What libdbus waits by default, too. */
const callTimeoutMs = 25_000;
/** No line of the handshake is longer; a peer that sends more without end is not what it should be. */
const lineBytesMax = 16_384;
/** A peer that floods with signals is not waited for. */
const signalsMax = 10_000;

/** The bus itself. */
const bus = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

export class DbusConnection implements Disposable {
  readonly #transport: Transport;
  /** For messages: who it is that answers. */
  readonly #peer: string;
  #received: Uint8Array = new Uint8Array();
  #serial = 0;
  /** Signals that came while something else was waited for. */
  readonly #signals: DbusMessage[] = [];

  private constructor(transport: Transport, peer: string) {
    this.#transport = transport;
    this.#peer = peer;
  }

  /**
   * Authenticates, and says Hello where the other side is a bus.
   * @param peer names the other side in errors.
   * @throws EngineError unavailable, forbidden, timeout or corrupt. The transport is closed then.
   */
  static open(transport: Transport, peer: string, options: { isBus: boolean; timeoutMs?: number }): DbusConnection {
    const connection = new DbusConnection(transport, peer);
    try {
      connection.#authenticate(performance.now() + (options.timeoutMs ?? callTimeoutMs));
      if (options.isBus) connection.call({ ...bus, member: "Hello" }, options.timeoutMs);
      return connection;
    } catch (error) {
      transport.close();
      throw error;
    }
  }

  /**
   * Calls a method and waits for its reply.
   * @throws DbusError when the answer is one; EngineError timeout, unavailable or corrupt.
   */
  call(call: DbusCall, timeoutMs: number = callTimeoutMs): DbusValue[] {
    this.#serial += 1;
    const serial = this.#serial;
    const { body = [], ...header } = call;
    this.#transport.send(encodeMessage({ type: messageTypes.call, serial, ...header, body }));
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const message = this.#next(deadline, `the reply to ${call.member}`);
      if (message.type === messageTypes.signal) this.#keep(message);
      // Replies to calls that were given up are passed over.
      if (message.replySerial !== serial) continue;
      if (message.type === messageTypes.reply) return message.body;
      if (message.type !== messageTypes.error) continue;
      const [text] = message.body;
      throw new DbusError(message.errorName ?? "", typeof text === "string" ? text : "");
    }
  }

  /** Asks a bus for signals: "Match Rules" of the specification. */
  addMatch(rule: string): void {
    this.call({ ...bus, member: "AddMatch", signature: "s", body: [rule] });
  }

  /**
   * Waits for a signal, among those too that came before the call. Others are forgotten.
   * @param what says in errors what was waited for.
   * @throws EngineError timeout.
   */
  waitForSignal(what: string, timeoutMs: number, wanted: (signal: DbusMessage) => boolean): DbusMessage {
    const deadline = performance.now() + timeoutMs;
    for (let kept = this.#signals.shift(); kept !== undefined; kept = this.#signals.shift()) {
      if (wanted(kept)) return kept;
    }
    for (;;) {
      const message = this.#next(deadline, what);
      if (message.type === messageTypes.signal && wanted(message)) return message;
    }
  }

  [Symbol.dispose](): void {
    this.#transport.close();
  }

  #keep(signal: DbusMessage): void {
    this.#signals.push(signal);
    if (this.#signals.length > signalsMax) throw this.#error("corrupt", `sent ${signalsMax} signals and no reply`);
  }

  /**
   * SASL's EXTERNAL: the kernel tells the other side who this is. Without a name of the user in the request, so that
   * it works in a user namespace, where the number here is not the one there. ("Authentication Protocol".)
   *
   * All of it is sent at once, as systemd's own client does: systemd's end, when it reads BEGIN together with the first
   * message, does not look at that message before something else arrives (seen with 252). Once OK is here, BEGIN has
   * been read.
   */
  #authenticate(deadline: number): void {
    this.#transport.send(Buffer.from("\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"));
    for (;;) {
      const line = this.#line(deadline);
      const [word] = line.split(" ", 1);
      if (word === "OK") return;
      if (word === "REJECTED") throw this.#error("forbidden", `does not accept this user (${line})`);
      // It asks for what is on its way already.
      if (word !== "DATA") {
        throw this.#error("corrupt", `answered the handshake with ${JSON.stringify(line.slice(0, 100))}`);
      }
    }
  }

  #line(deadline: number): string {
    for (;;) {
      const end = Buffer.from(this.#received).indexOf("\r\n");
      if (end >= 0) {
        const line = Buffer.from(this.#received.subarray(0, end)).toString("latin1");
        this.#received = this.#received.subarray(end + 2);
        return line;
      }
      if (this.#received.length > lineBytesMax) throw this.#error("corrupt", "sent a line without end");
      this.#receive(deadline, "the handshake");
    }
  }

  #next(deadline: number, what: string): DbusMessage {
    for (;;) {
      const length = this.#checked(() => messageLength(this.#received));
      if (length !== undefined && length <= this.#received.length) {
        const bytes = this.#received.subarray(0, length);
        this.#received = this.#received.subarray(length);
        return this.#checked(() => decodeMessage(bytes));
      }
      this.#receive(deadline, what);
    }
  }

  /** A message that cannot be read says whose it was. */
  #checked<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw new EngineError("corrupt", `${this.#peer}: ${errorMessage(error)}`, { cause: error });
    }
  }

  #receive(deadline: number, what: string): void {
    const bytes = this.#transport.receive(deadline);
    if (bytes === undefined) throw this.#error("timeout", `no answer in time: ${what}`);
    if (bytes.length === 0) throw this.#error("unavailable", `closed the connection before ${what}`);
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
  }

  #error(code: "corrupt" | "forbidden" | "timeout" | "unavailable", reason: string): EngineError {
    return new EngineError(code, `${this.#peer}: ${reason}`);
  }
}
