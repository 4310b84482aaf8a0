/** For tests: a name server that does what the test says, on port 53 where the thread is. */
import { type Answer, type DecodedPacket, decode, encode, type Packet } from "dns-packet";

export interface Asked {
  name: string;
  type: string;
  id: number;
  overTcp: boolean;
  port: number;
}

/** What becomes of a question: an answer, bytes, several packets one after another, or nothing. */
export type Behaviour = (asked: Asked, question: DecodedPacket) => Promise<Reply> | Reply;
export type Reply = Packet | Uint8Array | Uint8Array[] | undefined;

/** The answer with these records. */
export function answering(question: DecodedPacket, answers: Answer[], overrides: Packet = {}): Packet {
  return { type: "response", id: question.id!, flags: 0x180, questions: question.questions!, answers, ...overrides };
}

export class TestNameServer implements AsyncDisposable {
  readonly asked: Asked[] = [];
  behaviour: Behaviour;
  readonly #stop: () => void;

  private constructor(behaviour: Behaviour, open: (server: TestNameServer) => () => void) {
    this.behaviour = behaviour;
    this.#stop = open(this);
  }

  static async open(address: string, behaviour: Behaviour): Promise<TestNameServer> {
    let server: TestNameServer | undefined;
    // Begun before the first wait: the thread may be in a network namespace for no longer than that.
    const opening = Bun.udpSocket({
      hostname: address,
      port: 53,
      socket: {
        data: async (socket, data, port, from) => {
          for (const packet of await server!.#reply(data, false, port)) socket.send(packet, port, from);
        },
        // Whoever asked is gone.
        error: () => undefined,
      },
    });
    const tcp = Bun.listen<{ received: Buffer }>({
      hostname: address,
      port: 53,
      socket: {
        open: (socket) => {
          socket.data = { received: Buffer.alloc(0) };
        },
        data: async (socket, data) => {
          socket.data.received = Buffer.concat([socket.data.received, data]);
          const { received } = socket.data;
          if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
          for (const packet of await server!.#reply(received.subarray(2), true, socket.remotePort)) {
            socket.write(Buffer.concat([Uint8Array.of(packet.length >> 8, packet.length & 255), packet]));
          }
        },
      },
    });
    const udp = await opening;
    server = new TestNameServer(behaviour, () => () => {
      udp.close();
      tcp.stop(true);
    });
    return server;
  }

  async #reply(data: Uint8Array, overTcp: boolean, port: number): Promise<Uint8Array[]> {
    const question = decode(Buffer.from(data));
    const { name, type } = question.questions![0]!;
    const asked = { name, type, id: question.id!, overTcp, port };
    this.asked.push(asked);
    const reply = await this.behaviour(asked, question);
    if (reply === undefined) return [];
    if (reply instanceof Uint8Array) return [reply];
    return Array.isArray(reply) ? reply : [encode(reply)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
  }
}
