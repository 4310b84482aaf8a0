/** Reads what `tsd pack` says with suspicion: it has seen a hostile tree. Apart from protocol.ts so that the child need not load valibot. */
import * as v from "valibot";
import type { PackMessage } from "./protocol.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const digest = v.optional(v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/)));
const messageSchema = v.variant("kind", [
  v.strictObject({
    kind: v.literal("report"),
    report: v.strictObject({ entries: count, skipped: count, size: count, digest, diffId: digest }),
  }),
  v.strictObject({
    kind: v.literal("error"),
    code: v.picklist(["invalid_argument", "unsupported", "corrupt", "no_space", "internal"]),
    message: v.string(),
    details: v.record(v.picklist(["stage", "syscall", "errno", "path", "hint"]), v.string()),
  }),
]);

/** @throws for anything else than a message. */
export function parsePackMessage(line: string): PackMessage {
  return v.parse(messageSchema, JSON.parse(line)) as PackMessage;
}
