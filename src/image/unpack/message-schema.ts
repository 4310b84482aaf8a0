/** Reads what the child says with suspicion: it has seen hostile bytes. Apart from protocol.ts so that the child need not load valibot. */
import * as v from "valibot";
import type { UnpackMessage } from "./protocol.ts";

const paths = v.array(v.string());
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const messageSchema = v.variant("kind", [
  v.strictObject({ kind: v.literal("progress"), bytes: count }),
  v.strictObject({ kind: v.literal("hungry") }),
  v.strictObject({
    kind: v.literal("report"),
    report: v.strictObject({
      entries: count,
      bytes: count,
      archiveBytes: count,
      diffId: v.pipe(v.string(), v.regex(/^[a-z0-9]+:[0-9a-f]{64,128}$/)),
      implicit: paths,
      opaque: paths,
      lowerLinks: v.array(v.strictObject({ path: v.string(), target: v.string() })),
      skippedXattrs: paths,
    }),
  }),
  v.strictObject({
    kind: v.literal("error"),
    code: v.picklist(["invalid_argument", "unsupported", "corrupt", "no_space", "internal"]),
    message: v.string(),
    details: v.record(v.picklist(["stage", "syscall", "errno", "path", "hint"]), v.string()),
  }),
]);

/** @throws for anything else than a message. */
export function parseUnpackMessage(line: string): UnpackMessage {
  return v.parse(messageSchema, JSON.parse(line)) as UnpackMessage;
}
