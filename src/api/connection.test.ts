import { expect, test } from "bun:test";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { SocketConnection } from "./connection.ts";

test("what a client has sent before it left is read, and it is gone only then", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tsd-connection-"));
  const accepted = Promise.withResolvers<{ connection: SocketConnection; socket: Duplex }>();
  const server = createServer().on("upgrade", (_request, socket, head: Buffer) => {
    socket.write("HTTP/1.1 101 UPGRADED\r\n\r\n");
    accepted.resolve({ connection: new SocketConnection(socket, head), socket });
  });
  try {
    await new Promise<void>((resolve) => server.listen(join(directory, "s"), resolve));
    const client = connect({ path: join(directory, "s"), allowHalfOpen: true });
    client.write("POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    await once(client, "data");
    const { connection, socket } = await accepted.promise;
    client.write("sent before");
    let read = "";
    for await (const chunk of connection.input) {
      client.destroy();
      if (!socket.destroyed) await once(socket, "close");
      expect(connection.signal.aborted).toBe(false);
      read += Buffer.from(chunk).toString();
    }
    expect(read).toBe("sent before");
    if (!connection.signal.aborted) await once(connection.signal, "abort");
  } finally {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
