/** How the Engine API writes ports: `80/tcp` as a key, `8000-8010` where one of several is meant. */

/** From `first` to `last`, both included. */
export interface PortRange {
  first: number;
  last: number;
}

export const portProtocols = ["tcp", "udp", "sctp"] as const;
export type PortProtocol = (typeof portProtocols)[number];

const portMax = 65_535;

/** `80`, `8000-8010`. @returns undefined for anything else; 0 is a port here. */
export function parsePortRange(text: string): PortRange | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? first);
  return first <= last && last <= portMax ? { first, last } : undefined;
}

/** `80/udp` as `80` and `udp`; without a protocol it is TCP. Go's client passes over what follows a second slash. */
export function splitPortKey(key: string): { port: string; protocol: string } {
  const [port = "", protocol = ""] = key.split("/");
  return { port, protocol: protocol === "" ? "tcp" : protocol };
}

/** In any case of letters. */
export function parsePortProtocol(text: string): PortProtocol | undefined {
  return portProtocols.find((known) => known === text.toLowerCase());
}

/** How a container, or one of its ports, asks for a way of publishing: `tsd.publish`, `tsd.publish.80/tcp`. */
export const publishAnnotation = "tsd.publish";
export const publishModes = ["nat", "socket"] as const;
