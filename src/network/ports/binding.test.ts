import { describe, expect, test } from "bun:test";
import { formatAddress } from "../../core/ip-address.ts";
import {
  bindingOf,
  isSameWay,
  type PublishDefaults,
  type PublishTarget,
  publishedPort,
  routedPort,
  socketOf,
  translationOf,
} from "./binding.ts";
import type { PortRequest } from "./port.ts";

const both: PublishTarget = { ipv4: "172.28.0.2", ipv6: "fd00::2", bridge: "tsd0" };
const ipv4Only: PublishTarget = { ipv4: "172.28.0.2", bridge: "tsd0" };
const ipv6Only: PublishTarget = { ipv6: "fd00::2", bridge: "tsd0" };
const defaults: PublishDefaults = { mode: "nat", ipv6: true };

/** Port 80 at 8080: what it is called, the socket that is held, and the translation. */
function published(target: PublishTarget, request: Partial<PortRequest> = {}, more: Partial<PublishDefaults> = {}) {
  const full: PortRequest = { transport: "tcp", containerPort: 80, ...request };
  const binding = bindingOf(full, target, { ...defaults, ...more });
  return binding.addresses.map((address) => {
    const port = publishedPort(binding, address, 8080, target);
    const socket = socketOf(port, target);
    const translation = translationOf(port, target);
    return [
      `${port.hostAddress} ${port.mode}`,
      socket && `${socket.address}${socket.target ? ` to ${socket.target.address}` : " reserved"}`,
      translation?.passedOn
        ? "not from internal networks"
        : translation &&
          `${translation.hostAddress ? formatAddress(translation.hostAddress) : "any"} to ${formatAddress(translation.target)}`,
    ];
  });
}

describe("a published port", () => {
  test("is on all addresses of both families, and for [::1] there is a listener beside the kernel's translation", () => {
    expect(published(both)).toEqual([
      ["0.0.0.0 nat", "0.0.0.0 reserved", "any to 172.28.0.2"],
      [":: nat", ":: to fd00::2", "any to fd00::2"],
    ]);
    expect(published(both, {}, { ipv6: false })).toHaveLength(1);
    expect(published(both, { transport: "udp" })[1]).toEqual([":: nat", ":: to fd00::2", "any to fd00::2"]);
  });

  test("is passed on where the container has no address of the family, and is not called nat there", () => {
    expect(published(ipv4Only)[1]).toEqual([":: socket", ":: to 172.28.0.2", "not from internal networks"]);
    expect(published(ipv6Only)[0]).toEqual(["0.0.0.0 socket", "0.0.0.0 to fd00::2", "not from internal networks"]);
  });

  test("is on one address where that is asked for, by the request, the network or the daemon", () => {
    const loopback = [["127.0.0.1 nat", "127.0.0.1 reserved", "127.0.0.1 to 172.28.0.2"]];
    expect(published(both, { hostAddress: "127.0.0.1" })).toEqual(loopback);
    expect(published({ ...both, hostAddress: "127.0.0.1" })).toEqual(loopback);
    expect(published(both, {}, { hostAddress: "127.0.0.1" })).toEqual(loopback);
    expect(published({ ...both, hostAddress: "192.0.2.2" }, {}, { hostAddress: "127.0.0.1" })[0]![0]).toBe(
      "192.0.2.2 nat",
    );
    expect(published(both, { hostAddress: "0.0.0.0" }).map(([name]) => name)).toEqual(["0.0.0.0 nat"]);
    expect(published(both, { hostAddress: "0::0" }).map(([name]) => name)).toEqual([":: nat"]);
    expect(published(both, {}, { hostAddress: "0.0.0.0" }).map(([name]) => name)).toEqual(["0.0.0.0 nat", ":: nat"]);
    expect(published(both, { hostAddress: "::ffff:127.0.0.1" })).toEqual(loopback);
  });

  test("on ::1 is a listener alone, on another IPv6 address a translation", () => {
    expect(published(both, { hostAddress: "::1" })).toEqual([["::1 socket", "::1 to fd00::2", undefined]]);
    expect(published(both, { hostAddress: "2001:db8::1" })).toEqual([
      ["2001:db8::1 nat", "2001:db8::1 reserved", "2001:db8::1 to fd00::2"],
    ]);
  });

  test("of mode socket is a listener, whether the port, or the daemon says so", () => {
    const sockets = [
      ["0.0.0.0 socket", "0.0.0.0 to 172.28.0.2", "not from internal networks"],
      [":: socket", ":: to fd00::2", "not from internal networks"],
    ];
    expect(published(both, { mode: "socket" })).toEqual(sockets);
    expect(published(both, {}, { mode: "socket" })).toEqual(sockets);
    expect(published(both, { mode: "nat" }, { mode: "socket" })[0]![0]).toBe("0.0.0.0 nat");
  });

  test("of SCTP is translated, and refused where it would have to be passed on", () => {
    expect(published(both, { transport: "sctp" })).toEqual([
      ["0.0.0.0 nat", undefined, "any to 172.28.0.2"],
      [":: nat", undefined, "any to fd00::2"],
    ]);
    expect(published(ipv4Only, { transport: "sctp" })).toHaveLength(1);
    const refused = (target: PublishTarget, request: Partial<PortRequest>): (() => unknown) => {
      return () => published(target, { transport: "sctp", ...request });
    };
    expect(refused(both, { mode: "socket" })).toThrow("port 80/sctp cannot be published with mode socket");
    expect(refused(both, { hostAddress: "::1" })).toThrow("port 80/sctp cannot be published on ::1");
    expect(() => published(ipv6Only, { transport: "sctp" }, { ipv6: false })).toThrow("the host has no IPv6");
    expect(refused(ipv4Only, { hostAddress: "fd00::9" })).toThrow("the container has no IPv6 address");
    expect(() => published(both, { transport: "sctp" }, { mode: "socket" })).toThrow("with mode socket");
  });

  test("of a routed network is the container's own: nothing of the host's is taken, in the families that are routed", () => {
    const binding = (target: PublishTarget, request: Partial<PortRequest> = {}) => {
      const { addresses, routed } = bindingOf({ transport: "tcp", containerPort: 80, ...request }, target, defaults);
      return [addresses, routed].map((list) => list.map(formatAddress));
    };
    expect(binding({ ...both, routed: [6] })).toEqual([["0.0.0.0"], ["::"]]);
    expect(binding({ ...both, routed: [4, 6] })).toEqual([[], ["0.0.0.0", "::"]]);
    expect(binding({ ...both, routed: [4, 6] }, { mode: "socket" })).toEqual([["0.0.0.0", "::"], []]);
    expect(binding({ ...ipv4Only, routed: [4, 6] })).toEqual([["::"], ["0.0.0.0"]]);
    const routed = { ...both, routed: [6 as const] };
    const of = bindingOf({ transport: "udp", containerPort: 53, hostAddress: "fd00::9" }, routed, defaults);
    const port = routedPort(of, of.routed[0]!);
    expect(port).toEqual({ transport: "udp", containerPort: 53, hostAddress: "::", hostPort: 0, mode: "routed" });
    expect(socketOf(port, routed)).toBeUndefined();
    expect(translationOf(port, routed)).toEqual({
      transport: "udp",
      family: 6,
      direct: true,
      hostPort: 0,
      target: { family: 6, value: 0xfd000000000000000000000000000002n },
      targetPort: 53,
      bridge: "tsd0",
    });
  });

  test("shows the container its clients where it is passed on, and the family's answers come back by this host", () => {
    const shownClients = { families: [4 as const], except: ["172.28.0.0/16", "fd00::/64", "10.1.0.0/24"] };
    const shown = (request: Partial<PortRequest>, target: PublishTarget) => {
      const binding = bindingOf({ transport: "tcp", containerPort: 80, ...request }, target, defaults);
      return binding.addresses.map(
        (address) => socketOf(publishedPort(binding, address, 8080, target), target)?.shownClients,
      );
    };
    const except = ["172.28.0.0/16", "10.1.0.0/24"];
    expect(shown({ mode: "socket" }, { ...both, shownClients })).toEqual([{ except }, undefined]);
    expect(shown({ mode: "nat" }, { ...both, shownClients })).toEqual([undefined, undefined]);
    expect(shown({ mode: "socket" }, both)).toEqual([undefined, undefined]);
    expect(isSameWay({ ...both, shownClients }, both)).toBe(true);
    expect(isSameWay(both, ipv4Only)).toBe(false);
  });

  test("cannot be on what is no address", () => {
    expect(() => published(both, { hostAddress: "localhost" })).toThrow('"localhost" is not an IP address');
  });
});
