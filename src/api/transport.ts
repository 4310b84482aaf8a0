/** What lies between the routes and a socket, so that routes know neither node:http nor Bun. */
import type { Context } from "hono";
import type { ClientInitiator } from "../core/initiator.ts";

/** A connection that was taken over: bytes both ways, with half-close and back-pressure. */
export interface Connection {
  /** What the client sends, until its half-close (or its end). To be iterated once. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Aborted when the connection is gone, whoever ended it. */
  readonly signal: AbortSignal;
  /** Whether the client can end its half and go on reading; else the end of its input is its leaving. */
  readonly halfCloses: boolean;
  /** Resolves when more may be written; undefined: at once. What is written to a client that is gone is dropped. */
  write(chunk: Uint8Array | string): Promise<void> | undefined;
  /** No more output; the connection is gone once what was written has been sent. */
  end(): void;
}

export interface Transport {
  /** Present when the client asked for an upgrade: sends this head and gives the connection. */
  upgrade?: (head: string) => Connection;
  /** Cuts the connection, so that a client does not take what it has for the whole. */
  abort: () => void;
  /** Whose connection it is, where that is known. */
  client?: ClientInitiator;
}

export interface ApiEnv {
  Bindings: Transport;
  /** The minor number of the API version in use: 43 for 1.43. */
  Variables: { api: number; daemonHeaders: Readonly<Record<string, string>> };
}

export type ApiContext = Context<ApiEnv>;

export function requestName(c: ApiContext): string {
  return `${c.req.method} ${c.req.path}`;
}
