/** What `load` and `import` read: a file, or standard input if it is no terminal. */
import { fstatSync, readSync, statSync } from "node:fs";
import { isTerminal } from "../../ffi/pty.ts";
import { EngineError, errorMessage } from "../core/errors.ts";

/** Read in pieces of this size. */
const pieceBytes = 2 ** 18;

/**
 * @param path "" for standard input.
 * @throws EngineError not_found, invalid_argument in docker's words.
 */
export function openArchive(path: string): ReadableStream<Uint8Array> {
  if (path !== "") return fileStream(path);
  if (isTerminal(0)) throw new EngineError("invalid_argument", "requested load from stdin, but stdin is empty");
  return descriptorStream();
}

/** @throws EngineError not_found where it is not there, invalid_argument where it is a directory. */
export function fileStream(path: string): ReadableStream<Uint8Array> {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) throw new EngineError("not_found", `open ${path}: no such file or directory`);
  if (status.isDirectory()) throw new EngineError("invalid_argument", `${path} is a directory`);
  return Bun.file(path).stream();
}

/** Standard input, read when somebody wants more; who waits for it meanwhile hears what else there is to hear. */
export function standardInput(): ReadableStream<Uint8Array> {
  const status = fstatSync(0);
  return status.isFIFO() || status.isSocket() ? Bun.stdin.stream() : descriptorStream();
}

/** Standard input, whatever it is: the process stands still until there is something. */
export function descriptorStream(): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const buffer = new Uint8Array(pieceBytes);
        const length = readBlocking(buffer);
        if (length === 0) controller.close();
        else controller.enqueue(buffer.subarray(0, length));
      },
    },
    { highWaterMark: 0 },
  );
}

function readBlocking(buffer: Uint8Array): number {
  for (;;) {
    try {
      return readSync(0, buffer);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EOF") return 0;
      // Somebody else has made it non-blocking.
      if (code !== "EAGAIN")
        throw new EngineError("internal", `standard input: ${errorMessage(error)}`, { cause: error });
      Bun.sleepSync(1);
    }
  }
}
