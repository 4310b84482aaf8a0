import { parsePortProtocol, splitPortKey } from "../api/schema/port-key.ts";
import { EngineError } from "../core/errors.ts";

/**
 * The ports of `--expose`, `8000-8010/udp`, as the API has them. @returns `"8000/udp": {}` and so on.
 * @throws EngineError invalid_argument in docker's words.
 */
export function exposedPorts(list: readonly string[]): Record<string, object> {
  const ports: Record<string, object> = {};
  for (const text of list) {
    if (text.includes(":")) throw new EngineError("invalid_argument", `invalid port format for --expose: ${text}`);
    const { port: range, protocol: name } = splitPortKey(text);
    const { first, last } = portRange(text, range);
    const protocol = parsePortProtocol(name);
    // Docker passes over it, and exposes nothing.
    if (protocol === undefined) throw new EngineError("invalid_argument", `invalid proto: ${name}`);
    for (let port = first; port <= last; port++) ports[`${port}/${protocol}`] = {};
  }
  return ports;
}

function portRange(text: string, range: string): { first: number; last: number } {
  const fail = (reason: string) =>
    new EngineError("invalid_argument", `invalid range format for --expose: ${text}, error: ${reason}`);
  if (range === "") throw fail("empty string specified for ports");
  const [first, last] = range.split("-", 2).map((number) => {
    const reason = portComplaint(number);
    if (reason !== undefined) throw fail(`strconv.ParseUint: parsing ${JSON.stringify(number)}: ${reason}`);
    return Number(number);
  });
  if (last !== undefined && last < first!) throw fail(`invalid range specified for port: ${range}`);
  return { first: first!, last: last ?? first! };
}

function portComplaint(text: string): string | undefined {
  if (!/^\d+$/.test(text)) return "invalid syntax";
  return Number(text) > 65535 ? "value out of range" : undefined;
}
