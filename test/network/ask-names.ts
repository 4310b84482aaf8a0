/**
 * A client for tests: `bun ask-names.ts "web A" "web A tcp"`, in the network namespace of a container, asks 127.0.0.11
 * one after the other and prints what it hears, as JSON.
 */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { decode, encode, type RecordType } from "dns-packet";

export interface Heard {
  rcode: string;
  truncated: boolean;
  authoritative: boolean;
  data: string[];
  ms: number;
}

/** glibc's and musl's patience. */
const timeoutMs = 5_000;
const server = "127.0.0.11";

function exchange(packet: Buffer, overTcp: boolean): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  const close = overTcp ? askTcp(packet, resolve) : askUdp(packet, resolve);
  return promise.finally(() => {
    clearTimeout(timer);
    close();
  });
}

function askUdp(packet: Buffer, heard: (answer: Buffer | undefined) => void): () => void {
  const socket = createSocket("udp4");
  socket.on("message", heard);
  socket.on("error", () => heard(undefined));
  socket.send(packet, 53, server);
  return () => socket.close();
}

function askTcp(packet: Buffer, heard: (answer: Buffer | undefined) => void): () => void {
  let received = Buffer.alloc(0);
  const connection = connect(53, server, () => {
    connection.write(Buffer.concat([Uint8Array.of(packet.length >> 8, packet.length & 255), packet]));
  });
  connection.on("data", (data: Buffer) => {
    received = Buffer.concat([received, data]);
    if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) heard(received.subarray(2));
  });
  connection.on("error", () => heard(undefined));
  return () => connection.destroy();
}

async function ask(text: string): Promise<Heard | null> {
  const [name, type, transport] = text.split(" ");
  const packet = encode({ id: 1, flags: 0x100, questions: [{ name: name!, type: type as RecordType }] });
  const begun = performance.now();
  const answer = await exchange(packet, transport === "tcp");
  if (answer === undefined) return null;
  const { answers, flag_tc, flag_aa, ...rest } = decode(answer);
  const { rcode } = rest as unknown as { rcode: string };
  const data = answers!.map((record) => String((record as { data: unknown }).data));
  return { rcode, truncated: flag_tc, authoritative: flag_aa, data, ms: performance.now() - begun };
}

const heard: (Heard | null)[] = [];
for (const text of process.argv.slice(2)) heard.push(await ask(text));
console.log(JSON.stringify(heard));
