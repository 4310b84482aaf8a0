import { expect, test } from "bun:test";
import type { PortSummary } from "../api/schema/container.ts";
import { portsText } from "./ports-column.ts";

/** `80/tcp`, or `0.0.0.0 8080 80/tcp` for one that is published. */
function port(text: string): PortSummary {
  const [, ip, published, number, Type = ""] = /^(?:(\S+) (\d+) )?(\d+)\/(\w+)$/.exec(text)!;
  return { ...(ip && { IP: ip, PublicPort: Number(published) }), PrivatePort: Number(number), Type };
}

// Each as docker 28.2.2's `ps` shows it.
test.each<[ports: string[], text: string]>([
  [[], ""],
  [["80/tcp"], "80/tcp"],
  [["81/tcp", "80/tcp", "53/udp", "83/tcp"], "80-81/tcp, 53/udp, 83/tcp"],
  [["0.0.0.0 80 80/tcp", ":: 80 80/tcp"], "0.0.0.0:80->80/tcp, [::]:80->80/tcp"],
  [["0.0.0.0 8080 80/tcp", "443/tcp"], "443/tcp, 0.0.0.0:8080->80/tcp"],
  [
    [8000, 8001, 8002].flatMap((n) => [`0.0.0.0 ${n} ${n}/tcp`, `:: ${n} ${n}/tcp`]),
    "0.0.0.0:8000-8002->8000-8002/tcp, [::]:8000-8002->8000-8002/tcp",
  ],
  [
    ["127.0.0.1 81 81/sctp", "82/sctp", "83/tcp", ":: 84 84/tcp", "fe80::1 8002 84/tcp"],
    "127.0.0.1:81->81/sctp, 82/sctp, 83/tcp, [::]:84->84/tcp, [fe80::1]:8002->84/tcp",
  ],
])("the ports %j are shown as %s", (ports, text) => {
  expect(portsText(ports.map(port))).toBe(text);
  expect(portsText(ports.map(port).reverse())).toBe(text);
});
