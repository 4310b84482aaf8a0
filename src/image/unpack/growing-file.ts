/** The child's side of a layer that is still being fetched (protocol.ts): a file, and how much of it may be read. */
import { Fd } from "../../../ffi/fd.ts";
import { pread } from "../../../ffi/files.ts";
import { DescriptorReader } from "../../../ffi/stream.ts";
import { EngineError } from "../../core/errors.ts";

const layerDescriptor = 3;
const readBytes = 256 * 1024;

/** @param onHungry called before it waits for more. @throws EngineError internal when the file is shorter than was said. */
export async function* growingFile(onHungry: () => void): AsyncIterable<Uint8Array> {
  const counts = new DescriptorReader(new Fd(0));
  let text = "";
  let at = 0;
  for (;;) {
    const said = await counts.read();
    if (said === undefined) return;
    text += Buffer.from(said).toString("latin1");
    const lines = text.split("\n");
    text = lines.pop()!;
    // The last line says what the ones before it said, too.
    const known = Number(lines.at(-1) ?? at);
    while (at < known) {
      const buffer = new Uint8Array(Math.min(readBytes, known - at));
      const length = pread(layerDescriptor, buffer, at);
      if (length === 0) throw new EngineError("internal", `layer ends at ${at} of ${known} bytes`);
      at += length;
      yield buffer.subarray(0, length);
    }
    onHungry();
  }
}
