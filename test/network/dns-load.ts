/**
 * Asks a name server as much as one thread can: `bun test/network/dns-load.ts SECONDS NAME…`, in the network namespace
 * of a container. So many questions are always under way; an answer makes room for the next. Prints a line of JSON.
 */
import { randomInt } from "node:crypto";
import { encode } from "dns-packet";
import { POLLIN, waitReady } from "../../ffi/poll.ts";
import { DatagramBatch } from "../../ffi/socket/batch.ts";
import { connect, datagramSocket } from "../../ffi/socket/socket.ts";

export interface LoadResult {
  seconds: number;
  sent: number;
  answered: number;
  /** Questions that had no answer two seconds after the last was sent. */
  lost: number;
  /** Answers to what was not asked, with an error, or without a record. */
  wrong: number;
  perSecond: number;
  /** Processor time of this process, of one core. */
  cpuSeconds: number;
}

/** Less than what a socket's buffer holds of small datagrams, which is some 270: the kernel drops what is beyond. */
const windowSize = 192;
const lateMs = 2_000;
const headerBytes = 12;

export function load(seconds: number, names: readonly string[], server = "127.0.0.11"): LoadResult {
  const to = { address: Uint8Array.from(server.split("."), Number), port: 53 };
  using socket = datagramSocket(to);
  connect(socket, to);
  const batch = new DatagramBatch(64, 2_048);
  const questions = names.flatMap((name) => [question(name, "A"), question(name, "AAAA")]);
  /** By the id: the question that is under way. */
  const asked = new Array<Uint8Array | undefined>(65_536);
  let [sent, answered, wrong, underWay, id] = [0, 0, 0, 0, randomInt(65_536)];
  const begun = performance.now();
  const cpu = process.cpuUsage();
  const until = begun + seconds * 1_000;
  for (let last = begun; ; ) {
    const now = performance.now();
    const room = now < until ? windowSize - underWay : 0;
    for (let n = 0; n < Math.min(room, batch.size); n++) {
      id = (id + 1) & 0xffff;
      const packet = questions[sent % questions.length]!;
      asked[id] = packet;
      batch.space.set(packet, batch.spaceOffset);
      batch.space.writeUInt16BE(id, batch.spaceOffset);
      batch.add(packet.length);
      sent++;
      underWay++;
      last = now;
    }
    batch.flush(socket);
    const count = batch.receive(socket);
    for (let n = 0; n < count; n++) {
      const answer = batch.data(n);
      const number = answer.readUInt16BE(0);
      const packet = asked[number];
      asked[number] = undefined;
      if (packet === undefined || !isRight(answer, packet)) wrong++;
      if (packet === undefined) continue;
      answered++;
      underWay--;
    }
    if (count > 0) continue;
    if (underWay === 0 && now >= until) break;
    if (now - last > lateMs) break;
    if (underWay === windowSize || now >= until) waitReady(socket, POLLIN, 100);
  }
  const took = Math.min(performance.now(), until) - begun;
  const { user, system } = process.cpuUsage(cpu);
  const perSecond = Math.round((answered / took) * 1_000);
  const cpuSeconds = (user + system) / 1e6;
  return { seconds: took / 1_000, sent, answered, lost: underWay, wrong, perSecond, cpuSeconds };
}

function question(name: string, type: "A" | "AAAA"): Uint8Array {
  return encode({ flags: 0x100, questions: [{ name, type }] });
}

/** The question comes back, without an error; of addresses of IPv4 there is one at least. */
function isRight(answer: Buffer, asked: Uint8Array): boolean {
  const isAddress = asked.at(-3) === 1;
  if ((answer[2]! & 0x80) === 0 || (answer[3]! & 15) !== 0 || (isAddress && answer.readUInt16BE(6) === 0)) return false;
  return Buffer.compare(answer.subarray(headerBytes, asked.length), asked.subarray(headerBytes)) === 0;
}

if (import.meta.main) {
  const [seconds, ...names] = process.argv.slice(2);
  console.log(JSON.stringify(load(Number(seconds), names)));
}
