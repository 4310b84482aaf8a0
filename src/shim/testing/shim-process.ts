/** A shim as a process of its own, and containers for it, in a directory that goes with the test. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatExactJson } from "../../core/exact-json.ts";
import { tsdCommand } from "../../core/testing/tsd.ts";
import { ShimClient, type ShimStream } from "../client.ts";
import type { ShimContainer } from "../protocol.ts";

export class TestShim implements AsyncDisposable {
  readonly directory: string = mkdtempSync("/var/tmp/tsd-shim-");
  readonly socketPath: string = join(this.directory, "shim.sock");
  readonly stateDir: string = join(this.directory, "state");
  readonly logPath: string = join(this.directory, "container.log");
  #client: ShimClient | undefined;
  #child: Bun.Subprocess<"ignore", "pipe", number> | undefined;

  /** @param logPath where the shim's own log goes. */
  static async start(logPath?: string): Promise<TestShim> {
    const shim = new TestShim();
    const log = logPath ?? join(shim.directory, "shim.log");
    if (logPath === undefined) writeFileSync(log, "");
    const child = Bun.spawn([...tsdCommand, "shim", "--socket", shim.socketPath, "--log-level=debug"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: Bun.file(log) as unknown as number,
      detached: true,
    });
    shim.#child = child;
    const ready = await new Response(child.stdout).text();
    if (ready !== "ready\n") throw new Error(`the shim said ${ready}: ${shim.shimLog}`);
    shim.#client = await ShimClient.connect(shim.socketPath);
    return shim;
  }

  get client(): ShimClient {
    return this.#client!;
  }

  set client(client: ShimClient) {
    this.#client = client;
  }

  get pid(): number {
    return this.#child!.pid;
  }

  /** Resolves with the shim's own exit status. */
  get exited(): Promise<number> {
    return this.#child!.exited;
  }

  get shimLog(): string {
    return readFileSync(join(this.directory, "shim.log"), "utf8");
  }

  /** A container that runs a shell script. */
  container(script: string, more: Partial<ShimContainer> = {}): ShimContainer {
    const bundle = join(this.directory, "bundle");
    mkdirSync(bundle, { recursive: true });
    const namespaces = [{ type: "pid" }];
    const config = {
      ociVersion: "1.0.0",
      process: { args: ["sh", script], cwd: "/", user: { uid: 0, gid: 0 } },
      root: { path: "rootfs" },
      linux: { namespaces },
    };
    writeFileSync(join(bundle, "config.json"), formatExactJson(config));
    return {
      id: "test",
      bundle,
      stateDir: this.stateDir,
      runtimeRoot: join(this.directory, "runtime"),
      runtime: { path: process.execPath, args: [join(import.meta.dir, "oci-runtime.ts")] },
      terminal: false,
      stdin: { open: false, once: false },
      log: { driver: "json-file", path: this.logPath },
      ...more,
    };
  }

  /** What is in the container's log, with the stream of each record. */
  get logged(): { log: string; stream: string }[] {
    const lines = readFileSync(this.logPath, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as { log: string; stream: string });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What runs in the container must not outlive the test. A shim that has gone has nothing to end.
    await this.#client?.release({ force: true }).catch(() => undefined);
    this.#client?.close();
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Reads a stream to its end. */
export async function readToEnd(stream: ShimStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The payload of docker's frames, by stream. */
export function unframe(bytes: Buffer): { stdout: string; stderr: string } {
  const result = { stdout: "", stderr: "" };
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    result[bytes[at] === 1 ? "stdout" : "stderr"] += bytes.toString("utf8", at + 8, at + 8 + length);
    at += 8 + length;
  }
  return result;
}

/** Waits until a number has not changed for a while. A busy machine may take it for still too early, and never fails. */
export async function untilStill(read: () => number): Promise<number> {
  let last = Number.NaN;
  for (let same = 0; same < 10; await Bun.sleep(20)) {
    const current = read();
    same = current === last && current > 0 ? same + 1 : 0;
    last = current;
  }
  return last;
}
