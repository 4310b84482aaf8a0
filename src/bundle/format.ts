import type { RuntimeConfig } from "../oci/runtime.ts";

declare global {
  interface JSON {
    /** ECMAScript's "JSON.parse source text access": a text that stringify writes as it stands. */
    rawJSON(text: string): unknown;
  }
}

/** The text of a config.json, indented for people. Limits of 64 bits (RLIM_INFINITY) are written whole. */
export function formatBundleConfig(config: RuntimeConfig): string {
  const replacer = (_key: string, value: unknown) => (typeof value === "bigint" ? JSON.rawJSON(String(value)) : value);
  return `${JSON.stringify(config, replacer, 2)}\n`;
}
