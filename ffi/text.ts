/** Text and its bytes in UTF-8. Not by Buffer, whose first use takes 0.2 ms: as long as a hundred system calls. */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** What is no UTF-8 becomes U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** proc_pid_mountinfo(5): space, tab, newline and backslash of a path are written in octal. */
export function unescapeMountPath(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** How many bytes a text has. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
