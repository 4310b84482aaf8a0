/**
 * A new 64-digit hexadecimal id. As in Docker the first 12 digits are never all decimal, so that the short
 * id of a container is not taken for a number where it serves as host name.
 */
export function newId(): string {
  for (;;) {
    const id = crypto.getRandomValues(new Uint8Array(32)).toHex();
    if (!/^\d+$/.test(id.slice(0, 12))) return id;
  }
}

/** The first 12 digits: what people read and type. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
