/** Reads what `tsd copy` says with suspicion: it has seen a hostile tree. Apart from protocol.ts so that the child need not load valibot. */
import * as v from "valibot";
import type { CopyMessage } from "./protocol.ts";

const whole = v.pipe(v.number(), v.safeInteger());
const count = v.pipe(whole, v.minValue(0));
const messageSchema = v.variant("kind", [
  v.strictObject({
    kind: v.literal("stat"),
    stat: v.strictObject({
      name: v.string(),
      size: count,
      mode: v.pipe(count, v.maxValue(0o177777)),
      mtime: v.strictObject({ seconds: whole, nanoseconds: v.pipe(count, v.maxValue(999_999_999)) }),
      linkTarget: v.string(),
    }),
  }),
  v.strictObject({ kind: v.literal("report"), report: v.strictObject({ entries: count }) }),
  v.strictObject({
    kind: v.literal("error"),
    code: v.picklist(["invalid_argument", "not_found", "forbidden", "unsupported", "corrupt", "no_space", "internal"]),
    message: v.string(),
    details: v.record(v.picklist(["stage", "syscall", "errno", "path", "hint"]), v.string()),
  }),
]);

/** @throws for anything else than a message. */
export function parseCopyMessage(line: string): CopyMessage {
  return v.parse(messageSchema, JSON.parse(line)) as CopyMessage;
}
