/** A plugin inside the tests' own process: answers what it is told to, and keeps what it was asked. */
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";

export type Answer = Record<string, unknown> | ((response: ServerResponse) => void);

export class FakePlugin {
  readonly asked: { method: string; body: Record<string, unknown>; accept: string | undefined }[] = [];
  readonly answers: Record<string, Answer> = { "Plugin.Activate": { Implements: ["VolumeDriver"] } };
  /** What depends on the question; before `answers`. */
  handlers: Record<string, (body: Record<string, string>) => Record<string, unknown>> = {};
  #server: Server | undefined;

  /** @param address the socket's path; absent: any port of 127.0.0.1. @param tls for HTTPS. */
  async listen(address?: string, tls?: ServerOptions): Promise<number> {
    const listener: RequestListener = (request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        const method = request.url!.slice(1);
        const text = Buffer.concat(pieces).toString();
        const body = JSON.parse(text);
        this.asked.push({ method, body, accept: request.headers.accept });
        const answer = this.handlers[method]?.(body) ?? this.answers[method];
        if (typeof answer === "function") answer(response);
        else if (answer === undefined) response.writeHead(404).end("404 page not found\n");
        else response.end(JSON.stringify(answer));
      });
    };
    const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    this.#server = server;
    await new Promise<void>((resolve) => {
      if (address === undefined) server.listen(0, "127.0.0.1", resolve);
      else server.listen(address, resolve);
    });
    return address === undefined ? (server.address() as AddressInfo).port : 0;
  }

  methods(): string[] {
    return this.asked.map(({ method }) => method);
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    server?.closeAllConnections();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }
}
