/** Hosts, ports and networks as they are written in lists of registries. */
import { isIP } from "node:net";

/** `[::1]:5000` → `::1` and `5000`; the name in lower case. */
export function splitPort(host: string): { name: string; port: string | undefined } {
  const match = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(host);
  return { name: (match?.[1] ?? match?.[2] ?? host).toLowerCase(), port: match?.[3] };
}

/** Is the address in `10.0.0.0/8`? False for what is no address or no network: names are not looked up. */
export function isInNetwork(address: string, network: string): boolean {
  const [base, bits] = network.split("/") as [string, string?];
  const length = Number(bits);
  if (isIP(address) === 0 || bits === undefined || !/^\d+$/.test(bits) || isIP(base) !== isIP(address)) return false;
  const width = isIP(base) === 4 ? 32 : 128;
  if (length > width) return false;
  const shift = BigInt(width - length);
  return addressNumber(base) >> shift === addressNumber(address) >> shift;
}

function addressNumber(address: string): bigint {
  if (isIP(address) === 4) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  // The URL parser writes the two halves of `::` out and turns a dotted tail into groups.
  const [head, tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::") as [string, string?];
  const groups = (part: string | undefined) => (part ? part.split(":") : []);
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [
    ...groups(head),
    ...Array.from({ length: tail === undefined ? 0 : missing }, () => "0"),
    ...groups(tail),
  ];
  return all.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}
