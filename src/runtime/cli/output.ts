import { writeSync } from "../../../ffi/fs.ts";
import { POLLOUT, waitReady } from "../../../ffi/poll.ts";
import { encodeText } from "../../../ffi/text.ts";
import { isErrno } from "../../core/errors.ts";

/**
 * Writes a line to standard output, whole, before it returns: process.stdout would be lost in part at the exit, and
 * takes longer to load than `state` takes to run.
 */
export function printLine(text: string): void {
  const stdout = 1;
  let rest = encodeText(`${text}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(stdout, rest));
    } catch (error) {
      // Somebody made the pipe non-blocking.
      if (!isErrno(error, "EAGAIN")) throw error;
      waitReady(stdout, POLLOUT, -1);
    }
  }
}
