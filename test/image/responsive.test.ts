/** While large layers are pulled, hashed and unpacked, the daemon's API goes on answering. How fast is the benchmark's to say. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { archive } from "../../src/tar/tar-fixture.ts";
import { Daemon } from "../harness/daemon.ts";
import { Workspace } from "../harness/workspace.ts";
import { HostileRegistry, noise } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;

/** Answers that have to come in one pull: a daemon whose loop is held up by a layer gives a few at most. */
const answersMin = 20;
const layerBytes = 40_000_000;
/** Whoever asks without a pause takes the processor from what is pulled. */
const pauseMs = 10;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  daemon = await Daemon.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

/** What had been sent of the image when each of the pings was answered, one after the other, until the work is done. */
async function pingDuring(work: Promise<unknown>): Promise<number[]> {
  const before = registry.sentBytes();
  const sent: number[] = [];
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    const response = await fetch("http://tsd/_ping", { unix: daemon.socket });
    expect([response.status, await response.text()]).toEqual([200, "OK"]);
    sent.push(registry.sentBytes() - before);
    await Bun.sleep(pauseMs);
  }
  await done;
  return sent;
}

test.each(["gzip", "zstd"] as const)(
  "a ping is answered all along a pull of layers compressed with %s",
  async (compression) => {
    // Half of each is worth compressing.
    const data = (layer: number) => Buffer.concat([noise(layerBytes / 2, layer), new Uint8Array(layerBytes / 2)]);
    const layers = [1, 2, 3].map((layer) => archive([{ name: `${compression}-${layer}`, data: data(layer) }]));
    const { reference, layers: blobs } = registry.addImage(compression, layers, { compression });
    const total = blobs.reduce((sum, { size }) => sum + size, 0);
    const sent = await pingDuring(daemon.ok("pull", "-q", reference));
    expect(sent.length).toBeGreaterThan(answersMin);
    // Not all before the first byte, or after the last one.
    const during = sent.filter((bytes) => bytes > 0 && bytes < total);
    expect(during.length).toBeGreaterThan(3);
    console.log(`note: ${compression}: ${sent.length} pings answered, ${during.length} of them while bytes came`);
    await daemon.ok("rmi", reference);
  },
  60_000,
);
