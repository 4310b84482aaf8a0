/** What a check tells, in the words of POST /tsd/fsck. */
import type { FsckMessage } from "../../api/schema/storage.ts";
import { errorMessage, isEngineError } from "../../core/errors.ts";
import type { CheckEvent } from "../../image/check/finding.ts";

/** An error is the last message. */
export async function* fsckMessages(events: AsyncIterable<CheckEvent>): AsyncGenerator<FsckMessage, void, void> {
  try {
    for await (const event of events) yield messageOf(event);
  } catch (error) {
    const { code, hint } = isEngineError(error) ? error : { code: "internal", hint: undefined };
    yield { Error: { Code: code, Message: errorMessage(error), ...(hint !== undefined && { Hint: hint }) } };
  }
}

function messageOf(event: CheckEvent): FsckMessage {
  switch (event.step) {
    case "hashing":
      return { Progress: { Bytes: event.bytes, TotalBytes: event.totalBytes } };
    case "finding": {
      const { kind, severity, object, message, repaired, failed } = event.finding;
      return {
        Finding: {
          Kind: kind,
          Severity: severity,
          Object: object,
          Message: message,
          ...(repaired !== undefined && { Repaired: repaired }),
          ...(failed !== undefined && { Failed: failed }),
        },
      };
    }
    case "done": {
      const { blobs, blobBytes, layers, images, damage, leftovers, repaired } = event.summary;
      return {
        Summary: {
          Blobs: blobs,
          BlobBytes: blobBytes,
          Layers: layers,
          Images: images,
          Damage: damage,
          Leftovers: leftovers,
          Repaired: repaired,
        },
      };
    }
  }
}
