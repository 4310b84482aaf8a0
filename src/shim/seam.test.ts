/** Where what a client gets of a container's output begins, and who waits for whom. */
import { describe, expect, test } from "bun:test";
import { readLog } from "../logging/read.ts";
import { readToEnd, TestShim, unframe } from "./testing/shim-process.ts";

const output = { stdin: false, stdout: true, stderr: true };

describe("a client that attaches late", () => {
  test("is told where its stream goes on from the log, so that both make the whole", async () => {
    await using shim = await TestShim.start();
    const lines = "i=0; while [ $i -lt 3000 ]; do echo line $i; printf 'part '; i=$((i+1)); done";
    await shim.client.run(shim.container(`exec 2>&1; ${lines}; read go`, { stdin: { open: true, once: false } }));
    const streams = [];
    for (let count = 0; count < 20; count++) {
      streams.push(await shim.client.attach({ ...output, stdin: true, seam: true }));
      await Bun.sleep(2);
    }
    await streams[0]!.write("go\n");
    const whole = Array.from({ length: 3000 }, (_, line) => `line ${line}\npart `).join("");
    for (const stream of streams) {
      const { position: before, held } = stream.seam!;
      const live = unframe(await readToEnd(stream)).stdout;
      const shown = { stdout: true, stderr: true, multiplexed: false, timestamps: false, details: false };
      const logged = Buffer.concat(await Array.fromAsync(readLog(shim.logPath, { ...shown, before }))).toString();
      const text = logged + Buffer.from(held.stdout, "base64").toString() + live;
      expect(text === whole, `${logged.length} + ${held.stdout.length} + ${live.length}`).toBe(true);
    }
  });

  test("is told nothing where nothing is logged, or when it does not ask", async () => {
    await using shim = await TestShim.start();
    const early = await shim.client.attach({ ...output, seam: true });
    expect(early.seam).toBeUndefined();
    await shim.client.run(shim.container("exec sleep 100", { log: { driver: "none" } }));
    expect((await shim.client.attach({ ...output, seam: true })).seam).toBeUndefined();
    expect((await shim.client.attach(output)).seam).toBeUndefined();
  });
});

test("a client that does not read one stream holds up that one alone", async () => {
  await using shim = await TestShim.start();
  const slow = await shim.client.attach({ stdin: false, stdout: true, stderr: false });
  const other = await shim.client.attach({ stdin: true, stdout: false, stderr: true });
  // Of what waits for a client one read of the pipe is taken in any case; so there are several lines.
  const script = "yes & for line in 1 2 3; do sleep 0.1; echo heard $line >&2; done; read go; kill $!; wait";
  await shim.client.run(shim.container(script, { stdin: { open: true, once: false } }));
  let heard = "";
  while (!heard.includes("heard 3")) heard += unframe(Buffer.from((await other.read())!)).stderr;
  expect(heard).toBe("heard 1\nheard 2\nheard 3\n");
  await other.write("go\n");
  slow.close();
  await shim.client.wait();
});
