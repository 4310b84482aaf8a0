/** `ps` and `inspect` beside many containers, and how many requests the API answers in a second. */
import { succeed } from "../harness/command.ts";
import type { Engine } from "./engines.ts";
import { interleave, table } from "./measure.ts";

const counts = [20, 500];
/** Length of each measurement of requests. */
const spanMs = 2000;
/** Connections that each send their next request when they have their answer. */
const connectionsTotal = 8;

/** Containers that were created and not started: what lists and inspections cost depends on records alone. */
export async function measureApi(engines: readonly Engine[], rounds: number): Promise<void> {
  let made = 0;
  for (const count of counts) {
    for (const engine of engines) await create(engine, made, count);
    made = count;
    for (const [title, argv] of [
      ["ps -a", ["ps", "-a"]],
      ["inspect", ["inspect", `many-${count - 1}`]],
    ] as const) {
      const contenders = engines.map(({ name, prefix, env }) => ({ name, env, argv: [...prefix, ...argv] }));
      console.log(table(`${title} with ${count} containers`, await interleave(contenders, rounds), "docker"));
    }
    const served = engines.filter(({ socket }) => socket !== undefined);
    console.log(await requestTable(served, count));
  }
  for (const { prefix, env } of engines) {
    const names = Array.from({ length: made }, (_, index) => `many-${index}`);
    await succeed([...prefix, "rm", "-f", ...names], { env, timeoutMs: 600_000 });
  }
}

async function create(engine: Engine, from: number, to: number): Promise<void> {
  const { prefix, env, runFlags, image } = engine;
  for (let index = from; index < to; index++) {
    const flags = [...runFlags, "--name", `many-${index}`, "--label", `index=${index}`, "--network", "none"];
    await succeed([...prefix, "create", ...flags, image, "true"], { env });
  }
}

async function requestTable(engines: readonly Engine[], count: number): Promise<string> {
  const lines = [`### requests per second with ${count} containers (${connectionsTotal} connections)`, ""];
  lines.push(
    `| | ${engines.map(({ name }) => name).join(" | ")} | ratio |`,
    `|---|${"---|".repeat(engines.length + 1)}`,
  );
  for (const path of ["/_ping", "/containers/json?all=1", `/containers/many-${count - 1}/json`]) {
    const rates: number[] = [];
    for (const { socket } of engines) rates.push(await requestsPerSecond(socket!, path));
    const ratio = rates[1] === undefined ? "" : (rates[0]! / rates[1]).toFixed(2);
    lines.push(`| ${path} | ${rates.map((rate) => rate.toFixed(0)).join(" | ")} | ${ratio} |`);
  }
  return `${lines.join("\n")}\n`;
}

/** @throws Error for an answer that is not 200. */
export async function requestsPerSecond(socketPath: string, path: string): Promise<number> {
  await oneAfterAnother(socketPath, path, performance.now() + spanMs / 4);
  const begun = performance.now();
  const workers = Array.from({ length: connectionsTotal }, () => oneAfterAnother(socketPath, path, begun + spanMs));
  const answered = (await Promise.all(workers)).reduce((sum, count) => sum + count, 0);
  return (answered / (performance.now() - begun)) * 1000;
}

/** One connection that is kept. @returns how many answers it got until `endMs`. */
async function oneAfterAnother(socketPath: string, path: string, endMs: number): Promise<number> {
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let answered = 0;
  let received: Buffer[] = [];
  let missing = Number.NaN;
  const socket = await Bun.connect({
    unix: socketPath,
    socket: {
      data(connection, chunk) {
        received.push(Buffer.from(chunk));
        if (Number.isNaN(missing)) missing = bytesMissing(received);
        else if (missing !== chunked) missing -= chunk.length;
        if (missing === chunked ? !endsChunks(received) : !(missing <= 0)) return;
        if (!received[0]!.subarray(0, 12).equals(ok)) return reject(new Error(`${path}: ${Buffer.concat(received)}`));
        answered++;
        received = [];
        missing = Number.NaN;
        if (performance.now() >= endMs) resolve(answered);
        else connection.write(request);
      },
      close: () => reject(new Error(`${path}: the connection was closed after ${answered} answers`)),
    },
  });
  socket.write(request);
  try {
    return await promise;
  } finally {
    socket.terminate();
  }
}

const ok = Buffer.from("HTTP/1.1 200");
const chunked = -1;

/** Of the body; NaN while the head is not complete, `chunked` where its length is not known. */
function bytesMissing(received: Buffer[]): number {
  const text = Buffer.concat(received);
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return Number.NaN;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.subarray(0, end).toString("latin1"))?.[1];
  return length === undefined ? chunked : end + 4 + Number(length) - text.length;
}

/** RFC 9112, section 7.1: the last chunk is empty. */
function endsChunks(received: Buffer[]): boolean {
  return Buffer.concat(received.slice(-2)).subarray(-5).toString("latin1") === "0\r\n\r\n";
}
