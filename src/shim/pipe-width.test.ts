import { expect, test } from "bun:test";
import { F_DUPFD_CLOEXEC } from "../../ffi/constants/open.ts";
import { Fd } from "../../ffi/fd.ts";
import { fcntl, pipe2 } from "../../ffi/files.ts";
import { DescriptorReader } from "../../ffi/stream.ts";
import { PipeWidth } from "./pipe-width.ts";

const F_GETPIPE_SZ = 1032;

async function until(isSo: () => boolean): Promise<void> {
  for (let left = 1000; !isSo(); left--) {
    if (left === 0) throw new Error("it did not come to that");
    await Bun.sleep(5);
  }
}

test("a pipe that is found full again and again is widened, and as it was when that is over", async () => {
  const { reader, writer } = pipe2();
  using end = writer;
  using watched = new Fd(fcntl(reader, F_DUPFD_CLOEXEC, 3));
  const source = new DescriptorReader(reader);
  const width = new PipeWidth(source, 200);
  const capacity = () => fcntl(watched, F_GETPIPE_SZ, 0);
  for (let count = 0; count < 20; count++) width.note(4096);
  for (let count = 0; count < 7; count++) width.note(65_536);
  expect(capacity()).toBe(65_536);
  width.note(65_536);
  expect(capacity()).toBe(262_144);
  // Somebody who still writes keeps it, and what is in it is not lost.
  Bun.sleep(100).then(() => width.note(100_000));
  await Bun.sleep(250);
  expect(capacity()).toBe(262_144);
  await until(() => capacity() === 65_536);
  await source.close();
  expect(end.closed).toBe(false);
});
