import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { createApp } from "../api/app.ts";
import type { Backends } from "../api/backend/backends.ts";
import { type ApiServer, listen } from "../api/server.ts";
import { currentInitiator, type Initiator } from "../core/initiator.ts";
import { ClientPeers } from "./client-peers.ts";

const directory = mkdtempSync("/tmp/tsd-client-peers-");
const path = join(directory, "api.sock");
const servers: ApiServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Serves /ping, whose answer is who asks, by both ways that a request is served. */
async function serve(): Promise<void> {
  const app = createApp({} as Backends);
  app.get("/who", (c) => c.json((currentInitiator() ?? null) as Initiator | null));
  const server = await listen(app, { path }, () => {
    const peers = new ClientPeers();
    return () => peers.accepted();
  });
  servers.push(server);
}

const ask = `
  const { connect } = require("node:net");
  const socket = connect(process.env.TSD_TEST_SOCKET);
  let text = "";
  socket.on("data", (chunk) => { text += chunk; });
  socket.on("close", () => console.log(JSON.stringify({ pid: process.pid, who: JSON.parse(text.split("\\r\\n\\r\\n")[1]) })));
  socket.end("GET /who HTTP/1.1\\r\\nHost: x\\r\\nConnection: " + process.env.TSD_TEST_CONNECTION + "\\r\\n\\r\\n");
`;

test("each client of many at once is known by its process, with an upgrade and without", async () => {
  await serve();
  // Connections that stay open, and make and lose others between.
  const idle = Array.from({ length: 30 }, () => connect(path));
  await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
  for (const socket of idle.filter((_, at) => at % 3 === 0)) socket.destroy();
  const answers = await Promise.all(
    ["close", "Upgrade\r\nUpgrade: tcp", "close"].map(async (connection) => {
      const child = Bun.spawn([process.execPath, "-e", ask], {
        env: { ...process.env, TSD_TEST_SOCKET: path, TSD_TEST_CONNECTION: connection },
        stdout: "pipe",
      });
      return JSON.parse(await child.stdout.text()) as { pid: number; who: Initiator };
    }),
  );
  for (const socket of idle) socket.destroy();
  for (const { pid, who } of answers) {
    expect(who).toMatchObject({ kind: "client", pid, uid: 0, gid: 0 });
    expect((who as { command: string }).command).not.toBe("");
  }
  expect(new Set(answers.map(({ pid }) => pid)).size).toBe(3);
});
