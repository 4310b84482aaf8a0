import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { Fd } from "./fd.ts";
import { pipe2 } from "./files.ts";
import { makeRaw, openTerminal } from "./pty.ts";
import { DescriptorReader, DescriptorWriter } from "./stream.ts";

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : Buffer.from(bytes).toString());

/** How many descriptors of this process are ends of that pipe. */
function endsOpen(pipe: string): number {
  const links = readdirSync("/proc/self/fd").map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      return "the listing's own descriptor, closed by now";
    }
  });
  return links.filter((link) => link === pipe).length;
}

/** Starts a program with these descriptors, which are closed here. */
function spawn(command: string[], stdio: { stdin?: Fd; stdout?: Fd }) {
  const child = Bun.spawn(command, {
    stdin: stdio.stdin?.number ?? "ignore",
    stdout: stdio.stdout?.number ?? "pipe",
    stderr: "inherit",
  });
  stdio.stdin?.close();
  if (stdio.stdout !== stdio.stdin) stdio.stdout?.close();
  return child;
}

function bytesWrittenBy(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "latin1"))![1]);
}

describe("a reader of a descriptor", () => {
  test("gives every byte of a pipe and then its end", async () => {
    const { reader, writer } = pipe2();
    spawn(["sh", "-c", "seq 1 200000"], { stdout: writer });
    const input = new DescriptorReader(reader);
    const hash = createHash("sha256");
    for (let chunk = await input.read(); chunk !== undefined; chunk = await input.read()) hash.update(chunk);
    const expected = createHash("sha256");
    for (let number = 1; number <= 200000; number++) expected.update(`${number}\n`);
    expect(hash.digest("hex")).toBe(expected.digest("hex"));
    await input.close();
  });

  test("reads nothing that nobody asked for", async () => {
    const { reader, writer } = pipe2();
    const child = spawn(["sh", "-c", "exec head -c 50000000 /dev/zero"], { stdout: writer });
    const input = new DescriptorReader(reader);
    await input.read();
    await Bun.sleep(50);
    // What one read took, which is more than its buffer when the writer keeps up with it, and what the pipe holds. A
    // reader that went on unasked would take all of it.
    expect(bytesWrittenBy(child.pid)).toBeLessThanOrEqual(2 ** 21);
    child.kill("SIGKILL");
    await input.close();
  });

  test("can stop waiting, and what came later is still there", async () => {
    const { reader, writer } = pipe2();
    const pipe = readlinkSync(`/proc/self/fd/${reader.number}`);
    const output = new DescriptorWriter(writer);
    const input = new DescriptorReader(reader);
    const waiting = input.read();
    await Bun.sleep(5);
    expect(endsOpen(pipe)).toBe(3);
    await input.stop();
    expect(await waiting).toBeUndefined();
    expect(input.readAvailable()).toBeUndefined();
    await output.write(Buffer.from("late"));
    expect(text(input.readAvailable())).toBe("late");
    await output.write(Buffer.from("later"));
    expect(text(await input.read())).toBe("later");
    await input.close();
    expect(await input.read()).toBeUndefined();
    output.close();
    // What was being waited for lets go of its descriptor when the event loop comes to it.
    while (endsOpen(pipe) > 0) await Bun.sleep(1);
  });

  test("waits for a terminal and takes its hang-up for the end", async () => {
    const { master, slave } = openTerminal();
    const child = spawn(["sh", "-c", "sleep 0.05; echo one; sleep 0.05; seq 1 5000"], { stdout: slave });
    const input = new DescriptorReader(master);
    let output = "";
    for (let chunk = await input.read(); chunk !== undefined; chunk = await input.read()) output += text(chunk);
    expect(output).toBe(`one\r\n${Array.from({ length: 5000 }, (_, index) => `${index + 1}\r\n`).join("")}`);
    expect(input.hungUp).toBe(true);
    await child.exited;
    await input.close();
  });

  test("costs no processor time while nothing comes", async () => {
    const { reader, writer } = pipe2();
    const input = new DescriptorReader(reader);
    const waiting = input.read();
    await Bun.sleep(20);
    const before = process.cpuUsage();
    await Bun.sleep(300);
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(50_000);
    writer.close();
    expect(await waiting).toBeUndefined();
    await input.close();
  });

  test("takes the descriptor over, so that its former owner cannot use it", () => {
    const { reader, writer } = pipe2();
    new DescriptorReader(reader);
    expect(() => reader.number).toThrow("closed");
    writer.close();
  });
});

describe("a writer of a descriptor", () => {
  test("waits for a slow reader and loses nothing", async () => {
    const { reader, writer } = pipe2();
    const child = spawn(["sh", "-c", "sleep 0.2; exec sha256sum"], { stdin: reader });
    const output = new DescriptorWriter(writer);
    const chunk = new Uint8Array(100_003).map((_, index) => (index * 7) & 0xff);
    const hash = createHash("sha256");
    let taken = 0;
    const writes: Promise<void>[] = [];
    for (let index = 0; index < 50; index++) {
      writes.push(output.write(chunk).then(() => void taken++));
      hash.update(chunk);
    }
    await Bun.sleep(50);
    expect(taken).toBe(0);
    await output.end();
    await Promise.all(writes);
    expect(await new Response(child.stdout as ReadableStream).text()).toBe(`${hash.digest("hex")}  -\n`);
  });

  test("says EPIPE when nobody can read any more, also while it waits for room", async () => {
    const { reader, writer } = pipe2();
    const output = new DescriptorWriter(writer);
    const waiting = output.write(new Uint8Array(300_000));
    await Bun.sleep(5);
    reader.close();
    await expect(waiting).rejects.toMatchObject({ code: "EPIPE" });
    await expect(output.write(new Uint8Array(1))).rejects.toMatchObject({ code: "EPIPE" });
    output.close();
  });

  test("closed while it waits for room, gives the descriptor back", async () => {
    const { reader, writer } = pipe2();
    const pipe = readlinkSync(`/proc/self/fd/${reader.number}`);
    const output = new DescriptorWriter(writer);
    const waiting = output.write(new Uint8Array(300_000));
    await Bun.sleep(5);
    reader.close();
    output.close();
    await expect(waiting).rejects.toThrow();
    while (endsOpen(pipe) > 0) await Bun.sleep(1);
  });

  test("feeds a terminal more than its buffer holds", async () => {
    const { master, slave } = openTerminal();
    makeRaw(slave);
    const reading = new Fd(slave.release());
    const child = spawn(["sh", "-c", "sleep 0.1; test $(head -c 300000 | wc -c) = 300000"], { stdin: reading });
    const output = new DescriptorWriter(master);
    await output.write(new Uint8Array(300_000).fill(65));
    expect(await child.exited).toBe(0);
    output.close();
  });
});
