import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApp } from "../app.ts";
import type { AuthorizationPlugin } from "../backend/authorization.ts";
import { listen } from "../server.ts";
import { FakeEngine } from "./fake-engine.ts";

export interface Served extends AsyncDisposable {
  engine: FakeEngine;
  socket: string;
  /** A request over the socket, unversioned unless the path says otherwise. */
  fetch(path: string, init?: RequestInit & { json?: unknown }): Promise<Response>;
}

/** The API over a fake engine on a Unix socket of its own. */
export async function serve(plugins: readonly AuthorizationPlugin[] = []): Promise<Served> {
  const directory = mkdtempSync(join(tmpdir(), "tsd-api-"));
  const socket = join(directory, "tsd.sock");
  const engine = new FakeEngine();
  const server = await listen(createApp(engine, plugins), { path: socket });
  return {
    engine,
    socket,
    fetch: (path, { json, ...init } = {}) =>
      fetch(`http://tsd${path}`, {
        unix: socket,
        ...(json !== undefined && {
          method: "POST",
          body: JSON.stringify(json),
          headers: { "content-type": "application/json" },
        }),
        ...init,
      }),
    async [Symbol.asyncDispose]() {
      await server.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** A connection of which every byte is the test's own. */
export class RawConnection {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  ended = false;
  #changed = Promise.withResolvers<void>();

  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#notify();
    });
    const end = () => {
      this.ended = true;
      this.#notify();
    };
    this.socket.on("end", end);
    this.socket.on("close", end);
    this.socket.on("error", end);
  }

  /** Sends the head of a request that asks for an upgrade, and with it whatever `extra` is. */
  upgrade(path: string, body = "", extra = "", protocol = "tcp"): void {
    const type = body === "" ? "" : "Content-Type: application/json\r\n";
    this.socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${type}` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}${extra}`,
    );
  }

  /** Waits until what was received satisfies the condition. @throws when the connection ends before. */
  async until(condition: (received: Buffer) => boolean): Promise<void> {
    while (!condition(this.received)) {
      if (this.ended) throw new Error(`ended with ${JSON.stringify(this.received.toString())}`);
      await this.#changed.promise;
    }
  }

  /** Waits for the server's end of output. @returns all that follows the head. */
  async rest(): Promise<Buffer> {
    while (!this.ended) await this.#changed.promise;
    return this.received.subarray(this.received.indexOf("\r\n\r\n") + 4);
  }

  head(): string {
    return this.received.subarray(0, this.received.indexOf("\r\n\r\n")).toString();
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}

/** Waits for something that other work brings about, for at most two seconds. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 2000; !condition(); ) {
    if (Date.now() > deadline) throw new Error(`did not happen: ${what}`);
    await Bun.sleep(5);
  }
}
