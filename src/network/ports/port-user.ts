/** Which program of the host has a port: proc_net(5), sock_diag(7), and the descriptors of all processes. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { listBoundSockets, NETLINK_SOCK_DIAG } from "../../../ffi/netlink/socket-diag.ts";
import { isErrno, isKernelError } from "../../core/errors.ts";
import { type Address, addressOf } from "../../core/ip-address.ts";
import type { Transport } from "./port.ts";

export interface PortUser {
  /** `nginx` */
  name: string;
  pid: number;
}

/**
 * Who has a port that overlaps: a program that listens, or has it bound. One that has bound a port of TCP and does not
 * listen, as another tsd does, is found since Linux 6.8 only.
 * @returns undefined when nobody is found, or it belongs to a process of another namespace.
 */
export function findPortUser(transport: Transport, address: Address, port: number): PortUser | undefined {
  if (transport === "sctp") return undefined;
  const inodes = new Set<string>();
  for (const family of [4, 6] as const) {
    for (const line of readLines(`/proc/thread-self/net/${transport}${family === 4 ? "" : "6"}`)) {
      const socket = parseSocket(line);
      if (socket === undefined || socket.port !== port || !overlaps(socket.address, address)) continue;
      if (transport === "udp" || socket.state === listening) inodes.add(socket.inode);
    }
  }
  if (transport === "tcp") for (const inode of boundSockets(address, port)) inodes.add(inode);
  return inodes.size === 0 ? undefined : findHolder(inodes);
}

/** Not by /proc: those that are bound and do not listen are in no file of it. */
function boundSockets(address: Address, port: number): string[] {
  try {
    using socket = new NetlinkSocket(NETLINK_SOCK_DIAG);
    return listBoundSockets(socket, port)
      .filter((bound) => overlaps(addressOf(bound.address), address))
      .map(({ inode }) => String(inode));
  } catch (error) {
    // A kernel without sock_diag: nobody is named then.
    if (!isKernelError(error)) throw error;
    return [];
  }
}

const listening = "0A";

function parseSocket(line: string): { address: Address; port: number; state: string; inode: string } | undefined {
  const fields = line.trim().split(/\s+/);
  const local = /^([0-9A-F]{8}(?:[0-9A-F]{24})?):([0-9A-F]{4})$/.exec(fields[1] ?? "");
  if (local === null) return undefined;
  // Words of 32 bits, each as the processor has it in memory: on x86-64 the least byte first.
  const bytes = Uint8Array.fromHex(local[1]!);
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  return { address: addressOf(bytes), port: Number.parseInt(local[2]!, 16), state: fields[3]!, inode: fields[9]! };
}

/** A socket of IPv6 that is bound to all addresses may have those of IPv4 as well. */
function overlaps(bound: Address, wanted: Address): boolean {
  if (bound.family === wanted.family) return bound.value === 0n || wanted.value === 0n || bound.value === wanted.value;
  return bound.family === 6 && bound.value === 0n;
}

function findHolder(inodes: ReadonlySet<string>): PortUser | undefined {
  const targets = new Set([...inodes].map((inode) => `socket:[${inode}]`));
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const found = unlessGone(() =>
      readdirSync(`/proc/${entry}/fd`).some((fd) => {
        const target = unlessGone(() => readlinkSync(`/proc/${entry}/fd/${fd}`));
        return target !== undefined && targets.has(target);
      }),
    );
    if (!found) continue;
    const name = unlessGone(() => readFileSync(`/proc/${entry}/comm`, "utf8").trim());
    if (name !== undefined) return { name, pid: Number(entry) };
  }
  return undefined;
}

function readLines(path: string): string[] {
  return unlessGone(() => readFileSync(path, "utf8").split("\n")) ?? [];
}

/** Processes end and close files while they are looked at. A kernel without IPv6 has no file for it. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
