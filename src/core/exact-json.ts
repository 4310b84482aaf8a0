/** JSON with whole numbers of 64 bits: resource limits and seccomp's arguments may need them all, and are bigints then. */

declare global {
  interface JSON {
    /** ECMAScript's "JSON.parse source text access": a text that stringify writes as it stands. */
    rawJSON(text: string): object;
  }
}

/** Writes bigints as the numbers they are. */
export function formatExactJson(value: unknown, indent?: number): string {
  // A function that looks at every value costs more than all the rest, and next to no value needs it.
  try {
    return JSON.stringify(value, undefined, indent);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const replacer = (_key: string, part: unknown) => (typeof part === "bigint" ? JSON.rawJSON(String(part)) : part);
    return JSON.stringify(value, replacer, indent);
  }
}

/** Reads what formatExactJson wrote: integers that a double cannot hold become bigints again. @throws SyntaxError. */
export function parseExactJson(json: string): unknown {
  if (!/\d{16}/.test(json)) return JSON.parse(json);
  return JSON.parse(json, (_key, value, context?: { source?: string }) => {
    const source = context?.source;
    if (typeof value !== "number" || Number.isSafeInteger(value) || !source || !/^-?\d+$/.test(source)) return value;
    return BigInt(source);
  });
}
