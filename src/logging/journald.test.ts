import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Fd } from "../../ffi/fd.ts";
import { POLLIN, waitReady } from "../../ffi/poll.ts";
import { bindDatagram, receiveDescriptors } from "../../ffi/scm.ts";
import { EntryEncoder, openJournald } from "./journald.ts";
import { journalFieldName } from "./log-attributes.ts";

const directory = mkdtempSync("/var/tmp/tsd-journald-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The fields of an entry of the native protocol. */
function fieldsOf(entry: Uint8Array): Record<string, string> {
  const fields: Record<string, string> = {};
  const bytes = Buffer.from(entry);
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    const line = bytes.subarray(at, end).toString();
    const equals = line.indexOf("=");
    at = end + 1;
    if (equals >= 0) {
      fields[line.slice(0, equals)] = line.slice(equals + 1);
      continue;
    }
    const length = Number(bytes.readBigUInt64LE(at));
    fields[line] = bytes.subarray(at + 8, at + 8 + length).toString();
    at += 8 + length + 1;
  }
  return fields;
}

/** The next entry, as journald takes it: a datagram, or a memfd in an empty one. */
async function receive(server: Fd): Promise<Record<string, string>> {
  for (let left = 2000; !waitReady(server, POLLIN, 0); left--) {
    if (left === 0) throw new Error("no entry came");
    await Bun.sleep(1);
  }
  const { data, descriptors } = receiveDescriptors(server, 1 << 18);
  const [large] = descriptors;
  if (large === undefined) return fieldsOf(data);
  expect(data.length).toBe(0);
  const entry = fieldsOf(await Bun.file(`/proc/self/fd/${large.number}`).bytes());
  large.close();
  return entry;
}

test("every line is an entry with docker's fields, and pieces of a long one say so", async () => {
  const socket = join(directory, "fields");
  using server = bindDatagram(socket);
  const fields = { CONTAINER_ID: "0123", CONTAINER_TAG: "web", MULTI: "two\nlines" };
  const log = await openJournald({ driver: "journald", socket, fields }, () => undefined);
  log.write("stdout", Buffer.from("hello\nwor"));
  log.write("stderr", Buffer.from("bad\n"));
  const first = await receive(server);
  expect(first).toMatchObject({ ...fields, MESSAGE: "hello", PRIORITY: "6", CONTAINER_LOG_ORDINAL: "1" });
  expect(first.SYSLOG_TIMESTAMP).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  expect(first).not.toHaveProperty("CONTAINER_PARTIAL_MESSAGE");
  expect(await receive(server)).toMatchObject({ MESSAGE: "bad", PRIORITY: "3" });
  log.write("stdout", Buffer.from(`ld\n${"x".repeat(16_385)}\n`));
  expect((await receive(server)).MESSAGE).toBe("world");
  const [piece, end] = [await receive(server), await receive(server)];
  expect([piece.MESSAGE!.length, piece.CONTAINER_PARTIAL_MESSAGE, piece.CONTAINER_PARTIAL_ORDINAL]).toEqual([
    16_384,
    "true",
    "1",
  ]);
  expect(end).toMatchObject({ MESSAGE: "x", CONTAINER_PARTIAL_LAST: "true", CONTAINER_PARTIAL_ORDINAL: "2" });
  expect(end.CONTAINER_PARTIAL_ID).toBe(piece.CONTAINER_PARTIAL_ID!);
  log.write("stdout", Buffer.from("no newline"));
  await log.close();
  expect((await receive(server)).MESSAGE).toBe("no newline");
});

test("what is too large for a datagram goes as a file in memory", async () => {
  const socket = join(directory, "large");
  using server = bindDatagram(socket);
  const label = "y".repeat(4 << 20);
  const log = await openJournald({ driver: "journald", socket, fields: { LABEL: label } }, () => undefined);
  log.write("stdout", Buffer.from("large\n"));
  const entry = await receive(server);
  expect([entry.MESSAGE, entry.LABEL!.length]).toEqual(["large", label.length]);
  await log.close();
});

test("a journald that takes nothing holds the container up, and not one that does not wait", async () => {
  const socket = join(directory, "full");
  using server = bindDatagram(socket);
  const chunk = Buffer.from(`${"z".repeat(999)}\n`.repeat(50));
  const log = await openJournald({ driver: "journald", socket, fields: {} }, () => undefined);
  let written = 0;
  let room: Promise<void> | undefined;
  for (; room === undefined && written < 5000; written += 50) {
    log.write("stdout", chunk);
    room = log.room();
  }
  expect(room).toBeDefined();
  // All of it comes once it is taken.
  const entries = [];
  while (entries.length < written) {
    entries.push(await receive(server));
    // The rest follows when the timer has looked.
    if (entries.length % 5 === 0) await Bun.sleep(1);
  }
  await room;
  expect(entries.map(({ CONTAINER_LOG_ORDINAL: ordinal }) => Number(ordinal))).toEqual(
    entries.map((_, index) => index + 1),
  );
  await log.close();

  const trouble: string[] = [];
  const hasty = await openJournald({ driver: "journald", socket, fields: {}, bufferBytes: 20_000 }, (message) =>
    trouble.push(message),
  );
  for (let count = 0; count < 10; count++) hasty.write("stdout", chunk);
  expect(hasty.room()).toBeUndefined();
  expect(hasty.lostLines).toBeGreaterThan(400);
  const lost = hasty.lostLines;
  // Once there is room the next line brings along how many are missing before it.
  const messages: string[] = [];
  for (let asked = false; messages.at(-1) !== "after"; ) {
    messages.push((await receive(server)).MESSAGE!);
    if (asked || messages.filter((message) => message.startsWith("z")).length < 500 - lost) continue;
    asked = true;
    hasty.write("stdout", Buffer.from("after\n"));
  }
  const told = messages.map(
    (message) => /^tsd: (\d+) lines? of this log were lost: the buffer was full/.exec(message)?.[1],
  );
  expect(told.reduce((sum, lines) => sum + Number(lines ?? 0), 0)).toBe(lost);
  expect(hasty.lostLines).toBe(lost);
  await hasty.close();
});

test("without a journald there is no log, in docker's words", async () => {
  const socket = join(directory, "absent");
  expect(existsSync(socket)).toBe(false);
  const open = openJournald({ driver: "journald", socket, fields: {} }, () => undefined);
  expect(open).rejects.toThrow("failed to initialize logging driver: journald is not enabled on this host");
});

test("names of labels become names of fields", () => {
  expect(["com.example-1.Ä", "__a_b", "A1", "..."].map(journalFieldName)).toEqual(["COM_EXAMPLE_1__", "A_B", "A1", ""]);
  const entry = new EntryEncoder({}).encode({ stream: "stdout", text: Uint8Array.of(0xff, 0x00) });
  expect(Buffer.from(entry).toString("latin1")).toEndWith("MESSAGE=\xff\0\n");
});
