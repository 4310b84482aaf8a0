/** SCTP by packets of its own making: the kernel of the machine that runs this need not have its sockets. RFC 9260. */
import { describe, expect, test } from "bun:test";
import { Fd } from "../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { call } from "../../../ffi/syscall.ts";
import { addressBytes, parseAddress } from "../address.ts";
import { run } from "../testbed.ts";
import type { Firewall } from "./firewall.ts";
import { type Container, host6, hostAddress, Lab, port } from "./lab.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW = 3;
const IPPROTO_SCTP = 132;
const sourcePort = 40_000;

/** A packet that asks for an association: the common header and an INIT chunk. */
function init(destinationPort: number): Uint8Array {
  const bytes = new Uint8Array(12 + 20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint8(12, 1);
  view.setUint16(14, 20);
  // Tag, window, streams out and in, first number.
  view.setUint32(16, 0x12345678);
  view.setUint32(20, 65_536);
  view.setUint16(24, 1);
  view.setUint16(26, 1);
  view.setUint32(28, 1);
  // Connection tracking takes no packet whose checksum is wrong.
  view.setUint32(8, crc32c(bytes), true);
  return bytes;
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** Sends it from there, as programs with the right to raw sockets can. */
function send(namespace: Fd, to: string, destinationPort: number): void {
  const address = parseAddress(to);
  const v4 = address.family === 4;
  inNetworkNamespace(namespace, () => {
    const family = v4 ? AF_INET : AF_INET6;
    using socket = new Fd(call("socket", "SCTP", family, SOCK_RAW, IPPROTO_SCTP));
    const name = new Uint8Array(v4 ? 16 : 28);
    new DataView(name.buffer).setUint16(0, family, true);
    name.set(addressBytes(address), v4 ? 4 : 8);
    const packet = init(destinationPort);
    call("sendto", `SCTP to ${to}`, socket.number, packet, packet.length, 0, name, name.length);
  });
}

describe.skipIf(process.getuid?.() !== 0)("SCTP", () => {
  let firewall: Firewall;
  const lab = new Lab(() => {
    firewall = lab.makeFirewall();
  });

  const inside = <T>({ namespace }: Container, use: () => T): T => inNetworkNamespace(namespace, use);
  /** Counts what comes to port 80, by who sent it. */
  function count(container: Container): void {
    const rules = `table inet count { set seen { type ipv4_addr; flags dynamic; }; set seen6 { type ipv6_addr; flags dynamic; }
      chain in { type filter hook prerouting priority -310; sctp dport 80 add @seen { ip saddr }; sctp dport 80 add @seen6 { ip6 saddr }; }; }`;
    inside(container, () => run("sh", "-ec", `echo '${rules}' | nft -f -`));
  }
  const seen = (container: Container): string[] =>
    inside(container, () =>
      [...run("nft", "list", "ruleset").matchAll(/elements = \{ ([^}]*?) ?\}/g)].map((match) => match[1]!),
    );

  test("is translated from outside and from the host, by both families, and not once it is withdrawn", () => {
    firewall.setBridge(lab.bridge(1));
    const container = lab.container(1, 2);
    count(container);
    const ports = [port(container, 4, "sctp", 8080), port(container, 6, "sctp", 8080)];
    send(lab.outsideNamespace, hostAddress, 8080);
    expect(seen(container)).toEqual([]);
    firewall.publish(ports);
    // From the same port: the flow that led to nobody is over.
    send(lab.outsideNamespace, hostAddress, 8080);
    send(lab.outsideNamespace, host6, 8080);
    expect(seen(container)).toEqual(["192.0.2.1", "2001:db8:1::1"]);
    inside(container, () => run("nft", "flush", "ruleset"));
    count(container);
    firewall.unpublish(ports);
    send(lab.outsideNamespace, hostAddress, 8080);
    send(lab.outsideNamespace, host6, 8080);
    expect(seen(container)).toEqual([]);
    firewall.publish(ports);
    send(lab.hostNamespace, "127.0.0.1", 8080);
    expect(seen(container)).toEqual(["172.28.1.1"]);
  });
});
