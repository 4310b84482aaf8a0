import { callInBackground } from "../background-call.ts";
import { SYS } from "../constants/syscalls.ts";
import { Fd } from "../fd.ts";
import { bytes as bytesArgument } from "../plan/values.ts";
import { call, check, syscall } from "../syscall.ts";
import { decodeAcknowledgement, NetlinkError } from "./error.ts";
import {
  decodeMessages,
  Message,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  type Reply,
} from "./message.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const EAGAIN = "EAGAIN";
const EAGAIN_NUMBER = 11;
const ENOBUFS = "ENOBUFS";

/** The kernel fills dumps into buffers of at most 32 KiB, and more only when one message is larger. */
const receiveBufferSize = 65_536;
/** Room beside a batch for the kernel's own bookkeeping of the buffer. */
const sendBufferSlack = 65_536;
const sendBufferDefault = 131_072;
/** A request is answered before send(2) returns; the limit only turns a kernel that never answers into an error. */
const receiveTimeoutS = 10;
const dumpAttemptsMax = 20;

let receiveBuffer: Uint8Array | undefined;

/**
 * A netlink socket, netlink(7). It belongs for ever to the network namespace that its thread was in when it was made.
 *
 * All calls are synchronous: the kernel carries a request out within send(2), so the answer is there when it returns.
 */
export class NetlinkSocket implements Disposable {
  readonly #fd: Fd;
  #sequence = 0;
  #sendBuffer = sendBufferDefault;

  /** @param protocol NETLINK_ROUTE or NETLINK_NETFILTER. @throws SyscallError */
  constructor(protocol: number) {
    const fd = new Fd(call("socket", "AF_NETLINK", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
    this.#fd = fd;
    try {
      const timeout = new BigInt64Array([BigInt(receiveTimeoutS), 0n]);
      this.#setOption(SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(timeout.buffer));
      const on = new Uint8Array([1, 0, 0, 0]);
      this.#setOption(SOL_NETLINK, NETLINK_EXT_ACK, on);
      this.#setOption(SOL_NETLINK, NETLINK_CAP_ACK, on);
      if (protocol === NETLINK_ROUTE) this.#setOption(SOL_NETLINK, NETLINK_GET_STRICT_CHK, on);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Sends requests that change something, together, and waits until each is acknowledged. rtnetlink carries on after
   * a request that fails: the caller undoes what the others did.
   * @throws NetlinkError of the first request that was refused.
   */
  execute(...messages: Message[]): void {
    const [refusal] = this.attempt(...messages);
    if (refusal !== undefined) throw refusal;
  }

  /** As `execute`, for requests that may fail one by one: gives what was refused. */
  attempt(...messages: Message[]): NetlinkError[] {
    const bySequence = this.#send(messages, NLM_F_ACK);
    const refusals: NetlinkError[] = [];
    while (bySequence.size > 0) {
      for (const reply of this.#receive(messages[0]!)) {
        const message = bySequence.get(reply.sequence);
        if (message === undefined || reply.type !== NLMSG_ERROR) continue;
        bySequence.delete(reply.sequence);
        const { number, explanation } = decodeAcknowledgement(reply);
        if (number !== 0) refusals.push(new NetlinkError(message.subject, number, explanation));
      }
    }
    return refusals;
  }

  /**
   * Sends a request that changes something, as quickly as can be: for what is done a thousand times a second. A refusal
   * is queued when send(2) returns, and success has no answer.
   * @returns 0, or the errno of the refusal.
   */
  try(message: Message): number {
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const bytes = message.finish(this.#sequence);
    const { call: name } = message.subject;
    call("sendto", name, this.#fd.number, bytes, bytes.length, 0, null, 0);
    let refusal = 0;
    for (;;) {
      receiveBuffer ??= new Uint8Array(receiveBufferSize);
      const length = syscall(
        SYS.recvfrom,
        this.#fd.number,
        receiveBuffer,
        receiveBuffer.length,
        MSG_DONTWAIT,
        null,
        null,
      );
      if (length === -EAGAIN_NUMBER) return refusal;
      for (const reply of decodeMessages(receiveBuffer.subarray(0, check(name, length)))) {
        if (reply.sequence === this.#sequence) refusal = decodeAcknowledgement(reply).number;
      }
    }
  }

  /**
   * Sends a batch of nf_tables, which the kernel commits as a whole or not at all. Only refusals are answered, and
   * all of them are queued when send(2) returns.
   * @throws NetlinkError of the first message that was refused.
   */
  commit(messages: Message[]): void {
    const bySequence = this.#send(messages, 0);
    let refusal: NetlinkError | undefined;
    for (;;) {
      const replies = this.#receiveRefusals(messages[0]!);
      if (replies.length === 0) break;
      for (const reply of replies) {
        if (reply.type !== NLMSG_ERROR) continue;
        const message = bySequence.get(reply.sequence);
        const { number, explanation } = decodeAcknowledgement(reply);
        if (message && number !== 0) refusal ??= new NetlinkError(message.subject, number, explanation);
      }
    }
    if (refusal !== undefined) throw refusal;
  }

  /**
   * Refusals of a batch, none when there are no more. More of them than the receive buffer holds are lost, of which the
   * kernel tells once, before those that it kept: the first ones.
   */
  #receiveRefusals(request: Message): Reply[] {
    try {
      return this.#receive(request, MSG_DONTWAIT);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === ENOBUFS) return this.#receive(request);
      throw error;
    }
  }

  /**
   * Has the kernel tell of changes from now on, in place of answers: such a socket is for `news` alone.
   * @param bufferSize bytes that may wait to be read, the kernel's own bookkeeping included.
   */
  join(group: number, bufferSize: number): void {
    this.#setOption(SOL_SOCKET, SO_RCVBUFFORCE, new Uint8Array(new Uint32Array([bufferSize]).buffer));
    // struct sockaddr_nl: the kernel chooses an address; a socket without one is passed over.
    const name = new Uint8Array(12);
    name[0] = AF_NETLINK;
    call("bind", "AF_NETLINK", this.#fd.number, name, name.length);
    this.#setOption(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, new Uint8Array(new Uint32Array([group]).buffer));
  }

  /** What the kernel has told since the last time; undefined when some of it was lost because too much waited. */
  news(): Reply[] | undefined {
    const replies: Reply[] = [];
    const request = new Message(0, 0, { call: "netlink news" });
    for (let isWhole = true; ; ) {
      try {
        const some = this.#receive(request, MSG_DONTWAIT);
        if (some.length === 0) return isWhole ? replies : undefined;
        replies.push(...some.map(detach));
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === ENOBUFS)) throw error;
        isWhole = false;
      }
    }
  }

  /** Asks for one object. @throws NetlinkError, for example ENODEV for a link that is not there. */
  get(message: Message): Reply {
    const bySequence = this.#send([message], 0);
    for (;;) {
      for (const reply of this.#receive(message)) {
        if (!bySequence.has(reply.sequence)) continue;
        if (reply.type !== NLMSG_ERROR) return detach(reply);
        const { number, explanation } = decodeAcknowledgement(reply);
        throw new NetlinkError(message.subject, number, explanation);
      }
    }
  }

  /**
   * Asks for all objects. A dump that was disturbed by a change is asked for again, so that what comes back is one
   * consistent picture (NLM_F_DUMP_INTR).
   * @throws NetlinkError
   */
  dump(message: Message): Reply[] {
    for (let attempt = 0; attempt < dumpAttemptsMax; attempt++) {
      const replies = this.#dumpOnce(message);
      if (replies !== undefined) return replies;
    }
    throw new NetlinkError(message.subject, 4, `the table kept changing during ${dumpAttemptsMax} dumps`);
  }

  /**
   * Asks for those objects that the kernel has to look for among many others. What it looks through before its first
   * answer takes the time of another process, and between answers others have their turn. Changes meanwhile are no reason
   * to ask again. Nothing else may be asked on this socket until it is done.
   * @throws NetlinkError, SyscallError
   */
  async dumpInBackground(message: Message, isWanted: (reply: Reply) => boolean): Promise<Reply[]> {
    const sequence = this.#nextSequence();
    const request = message.finish(sequence, NLM_F_DUMP);
    const { call: name } = message.subject;
    await callInBackground("sendto", this.#fd, [bytesArgument(request, name), request.length, 0, 0, 0], name);
    const replies: Reply[] = [];
    for (;;) {
      for (const reply of this.#receive(message)) {
        if (reply.sequence !== sequence) continue;
        if (reply.type === NLMSG_ERROR || reply.type === NLMSG_DONE) {
          const { number, explanation } = decodeAcknowledgement(reply);
          if (number !== 0) throw new NetlinkError(message.subject, number, explanation);
          return replies;
        }
        if (isWanted(reply)) replies.push(detach(reply));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #dumpOnce(message: Message): Reply[] | undefined {
    const bySequence = this.#send([message], NLM_F_DUMP);
    const replies: Reply[] = [];
    let disturbed = false;
    for (;;) {
      for (const reply of this.#receive(message)) {
        if (!bySequence.has(reply.sequence)) continue;
        if ((reply.flags & NLM_F_DUMP_INTR) !== 0) disturbed = true;
        if (reply.type !== NLMSG_ERROR && reply.type !== NLMSG_DONE) {
          replies.push(detach(reply));
          continue;
        }
        const { number, explanation } = decodeAcknowledgement(reply);
        if (number !== 0) throw new NetlinkError(message.subject, number, explanation);
        return disturbed ? undefined : replies;
      }
    }
  }

  #send(messages: Message[], flags: number): Map<number, Message> {
    const bySequence = new Map<number, Message>();
    const parts = messages.map((message) => {
      const sequence = this.#nextSequence();
      bySequence.set(sequence, message);
      return message.finish(sequence, flags);
    });
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    this.#makeRoom(bytes.length);
    call("sendto", messages[0]!.subject.call, this.#fd.number, bytes, bytes.length, 0, null, 0);
    return bySequence;
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    return this.#sequence;
  }

  /** A message larger than the send buffer is refused with EMSGSIZE. */
  #makeRoom(size: number): void {
    if (size + sendBufferSlack <= this.#sendBuffer) return;
    this.#sendBuffer = size + sendBufferSlack;
    const value = new Uint8Array(new Uint32Array([this.#sendBuffer]).buffer);
    this.#setOption(SOL_SOCKET, SO_SNDBUFFORCE, value);
  }

  /** One recv(2), cut into messages that are views of a shared buffer; none when MSG_DONTWAIT finds nothing. */
  #receive(request: Message, flags = 0): Reply[] {
    receiveBuffer ??= new Uint8Array(receiveBufferSize);
    const { call: name } = request.subject;
    let length: number;
    try {
      length = call(
        "recvfrom",
        name,
        this.#fd.number,
        receiveBuffer,
        receiveBuffer.length,
        MSG_TRUNC | flags,
        null,
        null,
      );
    } catch (error) {
      if (flags !== 0 && error instanceof Error && "code" in error && error.code === EAGAIN) return [];
      throw error;
    }
    if (length > receiveBuffer.length) {
      throw new RangeError(`${name}: an answer of ${length} bytes does not fit into ${receiveBuffer.length}`);
    }
    return decodeMessages(receiveBuffer.subarray(0, length));
  }

  #setOption(level: number, option: number, value: Uint8Array): void {
    call("setsockopt", "AF_NETLINK", this.#fd.number, level, option, value, value.length);
  }
}

/** Takes a reply out of the shared buffer. */
function detach(reply: Reply): Reply {
  return { ...reply, body: reply.body.slice() };
}
