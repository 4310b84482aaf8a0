/** The server's knowledge, whoever asks and by whatever transport: own names, and what others know. */
import type { Forwarder } from "./forward.ts";
import type { HostServers } from "./host-servers.ts";
import { type Answer, errorAnswer, RCODE } from "./message.ts";
import { type Asker, replyTo } from "./query.ts";
import type { NameTable } from "./table.ts";
import type { Upstream } from "./upstream.ts";

/** Of kept answers of one asker: containers ask the same few questions over and over, and there may be many containers. */
const keptMax = 256;
const keptBytesMax = 131_072;
const idBytes = 2;

export interface Knowledge {
  table: NameTable;
  forwarder: Forwarder;
  hostServers: HostServers;
}

/** One sandbox's questions by one transport. */
export class Answers {
  readonly #knowledge: Knowledge;
  readonly #asker: Asker;
  readonly #own: readonly Upstream[];
  /** By the question's bytes without its id: the same question asked in the same way has the same answer. */
  readonly #kept = new Map<string, Answer>();
  #keptBytes = 0;
  #version = -1;

  /** @param own the sandbox's own servers; none: the host's. */
  constructor(knowledge: Knowledge, asker: Asker, own: readonly Upstream[]) {
    this.#knowledge = knowledge;
    this.#asker = asker;
    this.#own = own;
  }

  /** An answer that was given before, and is still true. */
  kept(packet: Buffer): Answer | undefined {
    if (this.#version !== this.#knowledge.table.version) {
      this.#forget();
      this.#version = this.#knowledge.table.version;
      return undefined;
    }
    return this.#kept.get(packet.toString("latin1", idBytes));
  }

  /**
   * @param packet of which nothing is kept but copies.
   * @returns the answer, or undefined when it comes later, by `later`, or never.
   */
  answer(packet: Buffer, later: (answer: Uint8Array) => void): Answer | Uint8Array | undefined {
    const { table, forwarder } = this.#knowledge;
    // Before the question is taken apart: this notices that the table has changed.
    const kept = this.kept(packet);
    if (kept !== undefined) return kept;
    const reply = replyTo(packet, this.#asker, table);
    if (reply === undefined) return undefined;
    if (reply.kind === "error") return reply.answer;
    if (reply.kind === "own") {
      this.#keep(packet, reply.answer);
      return reply.answer;
    }
    const servers = this.#servers();
    if (servers.length === 0) return errorAnswer(reply.query, RCODE.SERVFAIL);
    const { sandboxId, overTcp } = this.#asker;
    const query = { ...reply.query, bytes: Uint8Array.from(packet) };
    forwarder.ask({ query, overTcp, sandboxId, servers, done: later });
    return undefined;
  }

  #keep(packet: Buffer, answer: Answer): void {
    this.#keptBytes += packet.length + answer.heldBytes;
    if (this.#kept.size >= keptMax || this.#keptBytes > keptBytesMax) this.#forget();
    else this.#kept.set(packet.toString("latin1", idBytes), answer);
  }

  #forget(): void {
    this.#kept.clear();
    this.#keptBytes = 0;
  }

  /**
   * Whom to ask: what is asked by the host leaves the host, so a sandbox on internal networks alone has only servers of
   * its own, which it can ask no further than its networks lead.
   */
  #servers(): readonly Upstream[] {
    if (this.#own.length > 0) return this.#own;
    const { table, hostServers } = this.#knowledge;
    return table.reachesOutside(this.#asker.sandboxId) ? hostServers.servers() : [];
  }
}
