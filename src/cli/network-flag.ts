import { csvFields } from "./csv.ts";
import type { Flag } from "./flags.ts";

/** One `--network`: a name alone, or docker's long form, `name=back,alias=db,ip=10.1.0.7`. */
export interface NetworkAttachment {
  /** The network's name or id, or `host`, `none`, `container:ID`. */
  target: string;
  aliases: string[];
  linkLocalIps: string[];
  driverOptions: Record<string, string>;
  /** The highest of a container's networks has its default route. */
  gatewayPriority: number;
  ipv4?: string;
  ipv6?: string;
  mac?: string;
}

export function networkFlag(help: string): Flag<NetworkAttachment[]> {
  return {
    help,
    valueName: "network",
    isBoolean: false,
    initial: [],
    read: (text, previous) => [...previous, parseNetworkAttachment(text)],
  };
}

/** As docker decides which of the two it is. */
const longForm = /\w+=\w+(,\w+=\w+)*/;

/** @throws Error in docker's words; what a value means is left to the daemon to judge. */
export function parseNetworkAttachment(text: string): NetworkAttachment {
  const attachment = {
    target: text,
    aliases: [],
    linkLocalIps: [],
    driverOptions: {},
    gatewayPriority: 0,
  } satisfies NetworkAttachment;
  if (!longForm.test(text)) return attachment;
  const found: NetworkAttachment = { ...attachment, target: "" };
  for (const field of csvFields(text)) {
    const [name, value] = cut(field.toLowerCase());
    if (name === "" || value === undefined) throw new Error(`invalid field ${field}`);
    setField(found, name.trim(), value.trim());
  }
  if (found.target === "") throw new Error("network name/id is not specified");
  return found;
}

function setField(attachment: NetworkAttachment, name: string, value: string): void {
  switch (name) {
    case "name":
      attachment.target = value;
      break;
    case "alias":
      attachment.aliases.push(value);
      break;
    case "ip":
      attachment.ipv4 = value;
      break;
    case "ip6":
      attachment.ipv6 = value;
      break;
    case "mac-address":
      attachment.mac = value;
      break;
    case "link-local-ip":
      attachment.linkLocalIps.push(value);
      break;
    case "driver-opt": {
      const [key, text = ""] = cut(value);
      if (key === "" || !value.includes("=")) throw new Error("invalid key value pair format in driver options");
      attachment.driverOptions[key.trim()] = text.trim();
      break;
    }
    case "gw-priority":
      attachment.gatewayPriority = gatewayPriority(value);
      break;
    default:
      throw new Error(`invalid field key ${name}`);
  }
}

function gatewayPriority(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`invalid gw-priority (${text}): invalid syntax`);
  if (!Number.isSafeInteger(Number(text))) throw new Error(`invalid gw-priority (${text}): value out of range`);
  return Number(text);
}

function cut(text: string): [string, string?] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text] : [text.slice(0, equals), text.slice(equals + 1)];
}
