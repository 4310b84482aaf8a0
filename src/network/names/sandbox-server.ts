/** The sockets of one sandbox: they are in its network namespace, and this process is not. */
import { readlinkSync } from "node:fs";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import { EPOLLIN, SO_REUSEADDR, SOL_SOCKET } from "../../../ffi/constants/socket.ts";
import { SyscallError } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import type { SocketAddress } from "../../../ffi/socket/address.ts";
import { DatagramBatch } from "../../../ffi/socket/batch.ts";
import { DatagramBuffer } from "../../../ffi/socket/datagram.ts";
import { bind, datagramSocket, listen, localAddress, setOption, streamSocket } from "../../../ffi/socket/socket.ts";
import { isErrno, wrapError } from "../../core/errors.ts";
import { addressBytes, parseAddress } from "../address.ts";
import type { EventLoop } from "../companion/loop.ts";
import { resolverAddress } from "./address.ts";
import { Answers, type Knowledge } from "./answers.ts";
import type { ServedSandbox } from "./records.ts";
import { type ResolverPorts, redirectedPorts, redirectQuestions } from "./redirect.ts";
import { TcpListener } from "./tcp.ts";
import { Upstream } from "./upstream.ts";

/** SO_RCVBUFFORCE: what waits while the others' questions are answered. The kernel counts some 800 bytes for each. */
const optionReceiveBufferForce = 33;
const receiveBufferBytes = 2 ** 21;
const backlog = 128;
/** Above those that the kernel gives out (ip_local_port_range), and nobody's: a program's own is not taken by chance. */
const preferredPorts: ResolverPorts = { udp: 65_053, tcp: 65_053 };
/** The kernel chooses one that is free. */
const anyPort = 0;
/** Batches of one sandbox before the others have their turn. */
const batchesMax = 4;

/** For all sandboxes: only one is looked after at a time. */
const batch = new DatagramBatch();
const single = new DatagramBuffer();

export class SandboxServer {
  readonly #loop: EventLoop;
  readonly #knowledge: Knowledge;
  readonly sandboxId: string;
  readonly #namespace: Fd;
  readonly #udp: Fd;
  readonly #udpToken: number;
  readonly #tcp: TcpListener;
  readonly #answers: Answers;

  /** Serves from now on. @throws EngineError that names the sandbox; nothing of it is left. */
  constructor(loop: EventLoop, knowledge: Knowledge, sandbox: ServedSandbox) {
    this.#loop = loop;
    this.#knowledge = knowledge;
    this.sandboxId = sandbox.sandboxId;
    const opened = openSockets(sandbox);
    this.#namespace = opened.namespace;
    this.#udp = opened.udp;
    // Itself it need not ask.
    const servers = sandbox.servers.filter((server) => server !== resolverAddress);
    const own = servers.map((server) => {
      return new Upstream(server, { address: addressBytes(parseAddress(server)) }, opened.namespace);
    });
    const asker = { sandboxId: sandbox.sandboxId, keepsSingleLabels: sandbox.keepsSingleLabels ?? false };
    this.#answers = new Answers(knowledge, { ...asker, overTcp: false }, own);
    this.#tcp = new TcpListener(loop, opened.tcp, new Answers(knowledge, { ...asker, overTcp: true }, own));
    this.#udpToken = loop.watch(this.#udp, EPOLLIN, () => this.#onDatagrams());
  }

  /** Which namespace it is, as /proc/<pid>/ns/net reads: `net:[4026531840]`. */
  get namespaceId(): string {
    return readlinkSync(`/proc/self/fd/${this.#namespace.number}`);
  }

  /** Whether a path leads to the same namespace. */
  isIn(namespacePath: string): boolean {
    return readlinkSync(namespacePath) === this.namespaceId;
  }

  /** The redirection stays in the namespace, which goes with the container. */
  close(): void {
    this.#knowledge.forwarder.forget(this.sandboxId);
    this.#tcp.close();
    this.#loop.unwatch(this.#udpToken);
    this.#udp.close();
    this.#namespace.close();
  }

  #onDatagrams(): void {
    for (let n = 0; n < batchesMax; n++) {
      const count = batch.receive(this.#udp);
      for (let index = 0; index < count; index++) this.#answer(index);
      batch.flush(this.#udp);
      if (count < batch.size) return;
    }
  }

  #answer(index: number): void {
    // No question is that long.
    if (batch.wasCut(index)) return;
    const packet = batch.data(index);
    const kept = this.#answers.kept(packet);
    if (kept !== undefined) {
      batch.answer(index, kept.write(packet, batch.space, batch.spaceOffset));
      return;
    }
    let to: Uint8Array | undefined;
    const answer = this.#answers.answer(packet, (later) => {
      to ??= batch.source(index);
      this.#send(later, to);
    });
    if (answer === undefined) {
      // It comes when another datagram is in this one's place.
      to ??= batch.source(index);
    } else if (answer instanceof Uint8Array) {
      batch.space.set(answer, batch.spaceOffset);
      batch.answer(index, answer.length);
    } else {
      batch.answer(index, answer.write(packet, batch.space, batch.spaceOffset));
    }
  }

  #send(answer: Uint8Array, to: Uint8Array): void {
    if (this.#udp.closed) return;
    try {
      single.send(this.#udp, answer, to);
    } catch (error) {
      // A firewall of the container's own forbids it, or there is no way to whom the question says that it is from:
      // whoever may write packets himself can say anything.
      if (!(error instanceof SyscallError)) throw error;
    }
  }
}

interface Sockets {
  namespace: Fd;
  udp: Fd;
  tcp: Fd;
}

function openSockets({ sandboxId, namespacePath }: ServedSandbox): Sockets {
  const opened: Fd[] = [];
  const keep = (fd: Fd): Fd => {
    opened.push(fd);
    return fd;
  };
  try {
    const namespace = keep(open(namespacePath, O_RDONLY));
    return inNetworkNamespace(namespace, () => {
      const former = redirectedPorts() ?? preferredPorts;
      const udp = keep(bound(datagramSocket, former.udp));
      setOption(udp, SOL_SOCKET, optionReceiveBufferForce, receiveBufferBytes);
      const tcp = keep(bound(streamSocket, former.tcp));
      listen(tcp, backlog);
      redirectQuestions({ udp: localAddress(udp).port, tcp: localAddress(tcp).port });
      return { namespace, udp, tcp };
    });
  } catch (error) {
    for (const fd of opened) fd.close();
    throw wrapError(error, `serve names to sandbox ${sandboxId.slice(0, 12)}`, { path: namespacePath });
  }
}

/** A socket with that port, or with any where somebody in the container has taken it. */
function bound(make: (address: SocketAddress) => Fd, port: number): Fd {
  const address = { address: addressBytes(parseAddress(resolverAddress)), port };
  const fd = make(address);
  try {
    // Connections of the one before may linger on it. Of UDP others could take a share then.
    if (make === streamSocket) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(fd, address);
    return fd;
  } catch (error) {
    fd.close();
    if (port !== anyPort && isErrno(error, "EADDRINUSE")) return bound(make, anyPort);
    throw error;
  }
}
