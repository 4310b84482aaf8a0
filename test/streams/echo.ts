/** Bytes through a container and back, in both directions at once, by every way there is. */
import { connect } from "node:net";
import type { Engine } from "../harness/engine.ts";
import { tsd } from "../harness/workspace.ts";

/** Bytes that do not repeat, so that a piece that is lost or comes twice shows: a linear congruential generator's. */
export function noise(length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let word = length;
  for (let index = 0; index < words.length; index++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    words[index] = word ^ (word >>> 15);
  }
  return new Uint8Array(words.buffer, 0, length);
}

export interface Echoed {
  bytes: number;
  hash: string;
  /** Of a client that is a program. */
  status?: number;
}

export function digest(bytes: Uint8Array): Echoed {
  return { bytes: bytes.length, hash: Bun.SHA256.hash(bytes, "hex") };
}

/** A program that is fed while its output is read. */
export async function throughProgram(engine: Engine, args: string[], input: Uint8Array): Promise<Echoed> {
  const child = Bun.spawn([tsd, ...args], {
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "inherit",
    env: { ...process.env, ...engine.daemon.env },
  });
  const hasher = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const chunk of child.stdout) {
    hasher.update(chunk);
    bytes += chunk.byteLength;
  }
  return { bytes, hash: hasher.digest("hex"), status: await child.exited };
}

/** The payload of docker's attach, upgraded. */
export function throughAttach(engine: Engine, container: string, input: Uint8Array): Promise<Echoed> {
  const { promise, resolve, reject } = Promise.withResolvers<Echoed>();
  const socket = connect({ path: engine.daemon.socket, allowHalfOpen: true });
  const hasher = new Bun.CryptoHasher("sha256");
  let [bytes, missing] = [0, 0];
  let head: Buffer | undefined = Buffer.alloc(0);
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    if (head !== undefined) {
      const end = rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (!rest.toString("latin1").startsWith("HTTP/1.1 101 ")) reject(new Error(rest.toString()));
      rest = rest.subarray(end + 4);
      head = undefined;
      socket.end(input);
    }
    for (;;) {
      if (missing === 0) {
        if (rest.length < 8) return;
        missing = rest.readUInt32BE(4);
        rest = rest.subarray(8);
      }
      const piece = rest.subarray(0, missing);
      if (piece.length === 0) return;
      hasher.update(piece);
      bytes += piece.length;
      missing -= piece.length;
      rest = rest.subarray(piece.length);
    }
  });
  socket.on("end", () => resolve({ bytes, hash: hasher.digest("hex") }));
  socket.on("error", reject);
  socket.write(
    `POST /containers/${container}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\n` +
      "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
  );
  return promise;
}

/** A WebSocket, by a client that is not ours. */
export function throughWebSocket(engine: Engine, container: string, input: Uint8Array): Promise<Echoed> {
  const { promise, resolve, reject } = Promise.withResolvers<Echoed>();
  const query = "stream=1&stdin=1&stdout=1&stderr=1";
  const socket = new WebSocket(`ws+unix://${engine.daemon.socket}:/v1.50/containers/${container}/attach/ws?${query}`);
  socket.binaryType = "arraybuffer";
  const hasher = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  socket.onopen = () => {
    for (let at = 0; at < input.length; at += 100_003) socket.send(input.subarray(at, at + 100_003));
  };
  socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
    hasher.update(data);
    bytes += data.byteLength;
  };
  socket.onclose = ({ code }) => {
    if (code === 1000) resolve({ bytes, hash: hasher.digest("hex") });
    else reject(new Error(`closed with ${code}`));
  };
  return promise;
}

/** All of them, one after another. @returns what came back, by the way it went. */
export async function echoAll(engine: Engine, input: Uint8Array): Promise<Record<string, Echoed>> {
  const { busybox, daemon } = engine;
  const echo = ["head", "-c", String(input.length)];
  const quiet = ["-i", "--network", "none", "--log-driver", "none"];
  const created = (name: string) => daemon.ok("create", "--name", name, ...quiet, busybox, ...echo);
  const running = (name: string) => daemon.ok("run", "-d", "--name", name, ...quiet, busybox, ...echo);
  const results: Record<string, Echoed> = {};
  results.run = await throughProgram(engine, ["run", "--rm", ...quiet, busybox, ...echo], input);
  await engine.start(["--name", "host", "--network", "none"], "sleep", "1000");
  results.exec = await throughProgram(engine, ["exec", "-i", "host", ...echo], input);
  await created("started");
  results.start = await throughProgram(engine, ["start", "-ai", "started"], input);
  await running("attached");
  results.attach = await throughProgram(engine, ["attach", "attached"], input);
  await running("raw");
  results.raw = await throughAttach(engine, "raw", input);
  await running("socket");
  results.socket = await throughWebSocket(engine, "socket", input);
  await daemon.ok("rm", "-f", "host", "started", "attached", "raw", "socket");
  return results;
}
