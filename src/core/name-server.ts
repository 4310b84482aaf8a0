/** What docker checks of the name servers and search domains that it is given. All throw an Error with the reason. */
import { formatAddress, tryParseAddress } from "./ip-address.ts";

/** `--dns`. @returns the address in its canonical form, an IPv4 one that is written as IPv6 (`::ffff:1.2.3.4`) as IPv4. */
export function nameServer(text: string): string {
  const address = tryParseAddress(text.trim());
  if (address === undefined) throw new Error(`IP address is not correctly formatted: ${text}`);
  const isMapped = address.family === 6 && address.value >> 32n === 0xffffn;
  return formatAddress(isMapped ? { family: 4, value: address.value & 0xffff_ffffn } : address);
}

const domain = /^((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)\.?\s*$/i;

/** `--dns-search`; `.` is for none. */
export function searchDomain(text: string): string {
  const trimmed = text.replace(/^ +| +$/g, "");
  if (trimmed === ".") return trimmed;
  const [, name = ""] = domain.exec(trimmed) ?? [];
  if (!/[a-z]/i.test(name) || name.length >= 255) throw new Error(`${trimmed} is not a valid domain`);
  return name;
}
