import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ShimContainer } from "./protocol.ts";
import { readExitRecord, readShimRecord } from "./records.ts";
import { BusyboxContainers, canRunContainers } from "./testing/busybox.ts";
import { readToEnd, TestShim, unframe } from "./testing/shim-process.ts";

const both = { stdin: false, stdout: true, stderr: true };

/** A second container for the same process, with directories of its own. */
function another(shim: TestShim, script: string): ShimContainer {
  const stateDir = join(shim.directory, "another");
  return shim.container(script, {
    id: "another",
    stateDir,
    log: { driver: "json-file", path: join(shim.directory, "another.log") },
  });
}

describe("one shim process with several containers", () => {
  test("serves each at a socket of its own, and ends with the last", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("read wait; exit 3", { stdin: { open: true, once: true } }));
    const socketPath = join(shim.directory, "second.sock");
    const second = await shim.client.share(socketPath);
    const stream = await second.attach(both);
    await second.run(another(shim, "echo out; exit 4"));
    expect((await second.hello()).pid).toBe(shim.pid);
    expect(unframe(await readToEnd(stream)).stdout).toBe("out\n");
    expect(await second.wait()).toMatchObject({ exitCode: 4 });
    expect(readShimRecord(join(shim.directory, "another"))).toMatchObject({ socket: socketPath, shimPid: shim.pid });
    await second.release();
    second.close();
    while (existsSync(socketPath)) await Bun.sleep(5);
    expect((await shim.client.state()).status).toBe("running");
    await shim.client.closeStdin();
    expect(await shim.client.wait()).toMatchObject({ exitCode: 3 });
    expect(readExitRecord(shim.stateDir)).toMatchObject({ exitCode: 3 });
    await shim.client.release();
    expect(await shim.exited).toBe(0);
  });

  test("lives on without the first, and does not end because it is asked to", async () => {
    await using shim = await TestShim.start();
    const second = await shim.client.share(join(shim.directory, "second.sock"));
    await shim.client.run(shim.container("exit 0"));
    await second.run(another(shim, "exec sleep 100"));
    await shim.client.wait();
    await shim.client.release();
    process.kill(shim.pid, "SIGTERM");
    expect((await second.state()).status).toBe("running");
    shim.client = second;
    await second.release({ force: true });
    expect(await shim.exited).toBe(0);
  });

  test.skipIf(!canRunContainers)("is nobody's spare: the next container there could be of another group", async () => {
    using containers = new BusyboxContainers();
    await using shim = await TestShim.start();
    const second = await shim.client.share(join(shim.directory, "second.sock"));
    const stateDir = join(shim.directory, "another");
    await second.run(containers.make(shim, "exit 0", { stateDir }));
    await second.wait();
    expect(await second.release({ reuse: true })).toBeFalse();
    second.close();
    await shim.client.run(containers.make(shim, "exit 0"));
    await shim.client.wait();
    expect(await shim.client.release({ reuse: true })).toBeFalse();
  });

  test("is refused at a socket that cannot be, and goes on", async () => {
    await using shim = await TestShim.start();
    const taken = shim.client.share(shim.socketPath);
    await expect(taken).rejects.toMatchObject({ message: expect.stringContaining(`listen at ${shim.socketPath}`) });
    const long = join(shim.directory, "x".repeat(108));
    await expect(shim.client.share(long)).rejects.toMatchObject({ message: expect.stringContaining(long) });
    expect((await shim.client.hello()).status).toBe("spare");
  });
});
