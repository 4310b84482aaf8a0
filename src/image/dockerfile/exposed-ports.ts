/** The ports of EXPOSE: `80`, `80/udp`, `8000-8010/tcp`. */
import { EngineError } from "../../core/errors.ts";

const portMax = 65_535;
const protocols = new Set(["tcp", "udp", "sctp"]);

/** @returns `80/tcp` for each port of the range. @throws EngineError invalid_argument in docker's words. */
export function parseExposedPorts(text: string): string[] {
  const [, first, last, protocol = "tcp"] = /^(\d+)(?:-(\d+))?(?:\/([A-Za-z]+))?$/.exec(text) ?? [];
  if (first === undefined) throw new EngineError("invalid_argument", `invalid containerPort: ${text}`);
  if (!protocols.has(protocol.toLowerCase())) throw new EngineError("invalid_argument", `invalid proto: ${protocol}`);
  const [from, to] = [Number(first), Number(last ?? first)];
  if (from > portMax || to > portMax || from > to) {
    throw new EngineError("invalid_argument", `invalid containerPort: ${text}`);
  }
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${protocol.toLowerCase()}`);
}
