import { createHash } from "node:crypto";
import { invalid } from "../errors.ts";
import type { ApiContext } from "../transport.ts";

/** RFC 6455 section 1.3. */
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/**
 * The server's half of the opening handshake, RFC 6455 section 4.2.
 * @returns the head that accepts it. @throws EngineError invalid_argument for a request that does not ask for it.
 */
export function websocketHead(c: ApiContext): string {
  const header = (name: string) => c.req.header(name) ?? "";
  if (!tokens(header("upgrade")).includes("websocket") || !tokens(header("connection")).includes("upgrade")) {
    throw invalid("not a WebSocket handshake: Connection: Upgrade and Upgrade: websocket are needed");
  }
  if (header("sec-websocket-version") !== "13") {
    c.header("Sec-WebSocket-Version", "13");
    throw invalid(`WebSocket version ${JSON.stringify(header("sec-websocket-version"))}: only 13 is served`);
  }
  const key = header("sec-websocket-key");
  if (Buffer.from(key, "base64").length !== 16 || !/^[A-Za-z0-9+/]{22}==$/.test(key)) {
    throw invalid(`Sec-WebSocket-Key ${JSON.stringify(key)}: not 16 bytes in base64`);
  }
  const accept = createHash("sha1").update(`${key}${guid}`).digest("base64");
  // Docker's has no protocols of its own, and agrees to the one that a client names; so to the first of several.
  const [protocol] = header("sec-websocket-protocol").split(",");
  return (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${accept}\r\n` +
    `${protocol?.trim() ? `Sec-WebSocket-Protocol: ${protocol.trim()}\r\n` : ""}\r\n`
  );
}

function tokens(header: string): string[] {
  return header.split(",").map((token) => token.trim().toLowerCase());
}
