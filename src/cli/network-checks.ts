/** What docker's command line checks of names and addresses before it asks the daemon. All throw an Error with the reason. */
import { tryParseAddress } from "../core/ip-address.ts";

/** `--add-host name:address` or `name=address`; an IPv6 address may be in brackets. @returns the first form, without them. */
export function extraHost(text: string): string {
  const separator = text.includes("=") ? "=" : ":";
  const at = text.indexOf(separator);
  const name = text.slice(0, Math.max(0, at));
  if (name === "" || name.includes(":")) throw new Error(`bad format for add-host: ${JSON.stringify(text)}`);
  const address = text.slice(at + 1);
  const bare = address.length > 2 ? address.replace(/^\[(.*)\]$/, "$1") : address;
  if (bare !== "host-gateway" && tryParseAddress(bare.trim()) === undefined) {
    throw new Error(`invalid IP address in add-host: ${JSON.stringify(bare)}`);
  }
  return `${name}:${bare}`;
}

/** `--link container[:alias]` */
export function link(text: string): string {
  if (text === "") throw new Error("empty string specified for links");
  if (text.split(":").length > 2) throw new Error(`bad format for links: ${text}`);
  return text;
}

/** A driver's option, `key=value`. */
export function driverOption(text: string): [key: string, value: string] {
  const equals = text.indexOf("=");
  if (equals <= 0) throw new Error("invalid key/value pair format in driver options");
  return [text.slice(0, equals).trim(), text.slice(equals + 1).trim()];
}

/** Colons or hyphens between bytes, or points between pairs of them; 6, 8 or 20 bytes. */
export function isMacAddress(text: string): boolean {
  const isOf = (separator: string, digits: number) => {
    const groups = text.split(separator);
    const bytes = (groups.length * digits) / 2;
    return [6, 8, 20].includes(bytes) && groups.every((group) => group.length === digits && /^[0-9a-f]+$/i.test(group));
  };
  return isOf(":", 2) || isOf("-", 2) || isOf(".", 4);
}
