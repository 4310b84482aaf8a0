/**
 * Reading the tables of iptables-legacy: getsockopt(2) with IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES,
 * include/uapi/linux/netfilter_ipv4/ip_tables.h. Asking for a table that is not there would make it, so ask only for
 * names that /proc/net/ip_tables_names has.
 */
import { Fd } from "./fd.ts";
import { call } from "./syscall.ts";

const AF_INET = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_RAW = 255;
const SOL_IP = 0;
const IPT_SO_GET_INFO = 64;
const IPT_SO_GET_ENTRIES = 65;

/** NF_INET_FORWARD. */
const hookForward = 2;
const nameLength = 32;
const interfaceNameLength = 16;
/** struct ipt_getinfo: name, valid_hooks, hook_entry[5], underflow[5], num_entries, size. */
const infoLength = 84;
const underflowOffset = 56;
const sizeOffset = 80;
/** struct ipt_get_entries: name, size, and padding before the entries. */
const entriesHeader = 40;
/** struct ipt_entry: where the two interface names are, and the lengths that lead to its target and the next entry. */
const inInterfaceOffset = 16;
const outInterfaceOffset = 32;
const targetLengthOffset = 88;
const nextLengthOffset = 90;
/** struct xt_standard_target: the verdict follows a header of 32 bytes; NF_DROP is written as -NF_DROP - 1. */
const verdictOffset = 32;
const verdictDrop = -1;

/** What a legacy filter table does with forwarded packets. */
export interface LegacyForward {
  policy: "accept" | "drop";
  /** Every interface that some rule of the table names. */
  interfaces: string[];
}

/** @throws SyscallError */
export function readLegacyForward(): LegacyForward {
  using socket = new Fd(call("socket", "AF_INET", AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  const info = getOption(socket, IPT_SO_GET_INFO, infoLength, () => undefined);
  const size = view(info).getUint32(sizeOffset, true);
  const answer = getOption(socket, IPT_SO_GET_ENTRIES, entriesHeader + size, (request) =>
    request.setUint32(nameLength, size, true),
  );
  return decodeForward(info, answer.subarray(entriesHeader));
}

/** @throws RangeError on lengths that lead nowhere. */
export function decodeForward(info: Uint8Array, entries: Uint8Array): LegacyForward {
  const blob = view(entries);
  const interfaces = new Set<string>();
  for (let offset = 0; offset < entries.length; ) {
    for (const nameAt of [inInterfaceOffset, outInterfaceOffset]) {
      const name = text(entries.subarray(offset + nameAt, offset + nameAt + interfaceNameLength));
      if (name !== "") interfaces.add(name);
    }
    const length = blob.getUint16(offset + nextLengthOffset, true);
    if (length === 0) throw new RangeError(`an entry of iptables at ${offset} has no length`);
    offset += length;
  }
  // The entry where a packet ends that no rule of the chain took: its verdict is the policy.
  const last = view(info).getUint32(underflowOffset + 4 * hookForward, true);
  const target = last + blob.getUint16(last + targetLengthOffset, true);
  const verdict = blob.getInt32(target + verdictOffset, true);
  return { policy: verdict === verdictDrop ? "drop" : "accept", interfaces: [...interfaces] };
}

function getOption(socket: Fd, option: number, length: number, fill: (request: DataView) => void): Uint8Array {
  const buffer = new Uint8Array(length);
  buffer.set(new TextEncoder().encode("filter"));
  fill(view(buffer));
  const lengthCell = new Uint8Array(new Uint32Array([length]).buffer);
  call("getsockopt", "iptables filter", socket.number, SOL_IP, option, buffer, lengthCell);
  return buffer;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
