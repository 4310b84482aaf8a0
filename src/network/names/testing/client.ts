/** For tests: asks 127.0.0.11, or another server, from a network namespace. */
import { type Answer, type DecodedPacket, decode, encode, type RecordType } from "dns-packet";
import type { Fd } from "../../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../../ffi/namespace.ts";
import { POLLIN, waitReady } from "../../../../ffi/poll.ts";
import { connect, datagramSocket, receive, send, streamSocket } from "../../../../ffi/socket/socket.ts";

export interface AskOptions {
  server?: string;
  port?: number;
  overTcp?: boolean;
  timeoutMs?: number;
  additionals?: Answer[];
}

let lastId = 0;

export function question(name: string, type: string, additionals: Answer[] = []): Uint8Array {
  lastId = (lastId + 1) & 0xffff;
  return encode({ id: lastId, flags: 0x100, questions: [{ name, type: type as RecordType }], additionals });
}

/** @returns undefined when nothing comes in time. */
export async function ask(
  namespace: Fd,
  name: string,
  type: string,
  options: AskOptions = {},
): Promise<DecodedPacket | undefined> {
  const answer = await exchange(namespace, question(name, type, options.additionals), options);
  return answer && decode(Buffer.from(answer));
}

/** The data of the answers; the result's name where there is another than NOERROR. */
export async function told(
  namespace: Fd,
  name: string,
  type: string,
  options?: AskOptions,
): Promise<string[] | string> {
  const answer = await ask(namespace, name, type, options);
  if (answer === undefined) return "nothing";
  const { rcode } = answer as unknown as { rcode: string };
  return rcode === "NOERROR" ? answer.answers!.map((record) => String((record as { data: unknown }).data)) : rcode;
}

/** Sends any bytes. Others of this process go on meanwhile. */
export async function exchange(
  namespace: Fd,
  packet: Uint8Array,
  { server = "127.0.0.11", port = 53, overTcp = false, timeoutMs = 10_000 }: AskOptions = {},
): Promise<Uint8Array | undefined> {
  const to = { address: Uint8Array.from(server.split("."), Number), port };
  using fd = inNetworkNamespace(namespace, () => (overTcp ? streamSocket(to) : datagramSocket(to)));
  inNetworkNamespace(namespace, () => connect(fd, to));
  const length = Uint8Array.of(packet.length >> 8, packet.length & 255);
  const sent = overTcp ? Buffer.concat([length, packet]) : packet;
  const deadline = performance.now() + timeoutMs;
  const buffer = new Uint8Array(70_000);
  let received = Buffer.alloc(0);
  for (let isSent = false; performance.now() < deadline; ) {
    if (!isSent) isSent = trySend(fd, sent);
    if (isSent && waitReady(fd, POLLIN, 0)) {
      const count = receive(fd, buffer) ?? 0;
      if (!overTcp) return buffer.slice(0, count);
      received = Buffer.concat([received, buffer.subarray(0, count)]);
      if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) return received.subarray(2);
      if (count === 0) return undefined;
    } else await Bun.sleep(1);
  }
  return undefined;
}

/** The connection is not there at once. */
function trySend(fd: Fd, bytes: Uint8Array): boolean {
  return send(fd, bytes) !== undefined;
}
