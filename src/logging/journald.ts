/**
 * Sends a container's lines to journald by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram of
 * `FIELD=value` lines for each, with Docker's fields. What is too large for a datagram goes as a sealed memfd.
 */
import { F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { write } from "../../ffi/files.ts";
import { addSeals, dataMemfd } from "../../ffi/memory.ts";
import { sendDescriptorAlone } from "../../ffi/scm.ts";
import { timeNow } from "../core/clock.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { connectToDatagrams } from "./datagram-connection.ts";
import type { LogLine } from "./line-splitter.ts";
import type { JournaldTarget } from "./log-target.ts";
import { RemoteLog } from "./remote-log.ts";

/** syslog(3)'s LOG_ERR and LOG_INFO, as docker tells the streams apart. */
const priority = { stdout: "6", stderr: "3" };

/** @throws EngineError in docker's words where there is no journald. */
export async function openJournald(
  { socket, fields, bufferBytes }: JournaldTarget,
  onTrouble: (message: string) => void,
): Promise<RemoteLog> {
  const encoder = new EntryEncoder(fields);
  try {
    return await RemoteLog.open({
      name: `journald ${socket}`,
      encode: (line) => encoder.encode(line),
      connect: async (events) => connectToDatagrams(socket, events, sendLarge),
      isStream: false,
      ...(bufferBytes !== undefined && { bufferBytes }),
      onTrouble,
    });
  } catch (error) {
    const message = "failed to initialize logging driver: journald is not enabled on this host";
    throw new EngineError("unavailable", message, { cause: error });
  }
}

/** Writes entries; exported for tests. */
export class EntryEncoder {
  readonly #fixed: Buffer;
  /** Of this run of the container: with the ordinal it tells a reader which lines are missing. */
  readonly #epoch = crypto.randomUUID().replaceAll("-", "").repeat(2);
  #ordinal = 0;

  constructor(fields: Readonly<Record<string, string>>) {
    this.#fixed = Buffer.concat(Object.entries(fields).map(([name, value]) => field(name, value)));
  }

  encode({ stream, text, piece }: LogLine): Uint8Array {
    this.#ordinal++;
    const own = [
      `PRIORITY=${priority[stream]}`,
      `SYSLOG_TIMESTAMP=${timeNow()}`,
      `CONTAINER_LOG_EPOCH=${this.#epoch}`,
      `CONTAINER_LOG_ORDINAL=${this.#ordinal}`,
    ];
    if (piece !== undefined) {
      own.push(
        `CONTAINER_PARTIAL_ID=${piece.line}`,
        `CONTAINER_PARTIAL_ORDINAL=${piece.ordinal}`,
        `CONTAINER_PARTIAL_LAST=${piece.last}`,
      );
      if (!piece.last) own.push("CONTAINER_PARTIAL_MESSAGE=true");
    }
    return Buffer.concat([this.#fixed, Buffer.from(`${own.join("\n")}\nMESSAGE=`), text, Buffer.from("\n")]);
  }
}

/** A value with a newline goes with its length, 64 bits little endian. */
function field(name: string, value: string): Buffer {
  const bytes = Buffer.from(value);
  if (!bytes.includes(10)) return Buffer.concat([Buffer.from(`${name}=`), bytes, Buffer.from("\n")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.from("\n")]);
}

/** journald takes a memfd only when nobody can change it any more. */
function sendLarge(socket: Fd, message: Uint8Array): boolean {
  using file = dataMemfd("journal entry");
  write(file, message);
  addSeals(file, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  try {
    sendDescriptorAlone(socket, file);
    return true;
  } catch (error) {
    if (isErrno(error, "EAGAIN")) return false;
    throw error;
  }
}
