import type { PortSummary } from "../api/schema/container.ts";

/** Ports in sequence that are published, if they are, on the host's ports of the same numbers. */
interface Range {
  /** "" where they are exposed only. */
  ip: string;
  protocol: string;
  first: number;
  last: number;
}

/**
 * The Ports column of `ps` as docker prints it: `0.0.0.0:8000-8002->8000-8002/tcp, [::]:8080->80/tcp, 53/udp`. What is
 * published on another port than the container's stands on its own, at the end.
 */
export function portsText(ports: readonly PortSummary[]): string {
  const ended: Range[] = [];
  const open = new Map<string, Range>();
  const translated: string[] = [];
  for (const { IP: ip = "", PrivatePort: port, PublicPort = 0, Type: protocol } of [...ports].sort(compare)) {
    if (ip !== "" && PublicPort !== port) {
      translated.push(`${hostPort(ip, String(PublicPort))}->${port}/${protocol}`);
      continue;
    }
    const key = `${ip}/${protocol}`;
    const range = open.get(key);
    if (range?.last === port - 1) {
      range.last = port;
      continue;
    }
    if (range) ended.push(range);
    open.set(key, { ip, protocol, first: port, last: port });
  }
  return [...[...ended, ...open.values()].map(rangeText), ...translated].join(", ");
}

function rangeText({ ip, protocol, first, last }: Range): string {
  const numbers = first === last ? String(first) : `${first}-${last}`;
  return `${ip === "" ? "" : `${hostPort(ip, numbers)}->`}${numbers}/${protocol}`;
}

function hostPort(ip: string, port: string): string {
  return `${ip.includes(":") ? `[${ip}]` : ip}:${port}`;
}

function compare(a: PortSummary, b: PortSummary): number {
  return (
    a.PrivatePort - b.PrivatePort ||
    compareText(a.IP ?? "", b.IP ?? "") ||
    (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
    compareText(a.Type, b.Type)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
