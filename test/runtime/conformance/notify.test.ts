/** NOTIFY_SOCKET: a service manager hears from the container, through the runtime, that it is ready. sd_notify(3). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Fd } from "../../../ffi/fd.ts";
import { serviceNotify } from "../../../ffi/notify.ts";
import { POLLIN, waitReady } from "../../../ffi/poll.ts";
import { bindDatagram, receiveDescriptors } from "../../../ffi/scm.ts";
import { command } from "../../harness/command.ts";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

/** The service manager's end. */
class Manager implements Disposable {
  readonly path: string = runtime.path("manager");
  readonly #socket: Fd = bindDatagram(this.path);
  /** Answers barriers, too, which the runtime waits for. */
  readonly #timer: Timer = setInterval(() => this.look(), 5);
  readonly messages: string[] = [];

  get env(): Record<string, string> {
    return { NOTIFY_SOCKET: this.path };
  }

  /** Takes what has come. The descriptor that comes with a barrier is closed: that is the answer to it. */
  look(): string[] {
    while (waitReady(this.#socket, POLLIN, 0)) {
      const { data, descriptors } = receiveDescriptors(this.#socket);
      for (const descriptor of descriptors) descriptor.close();
      const text = Buffer.from(data).toString().trimEnd();
      // runc sends it since 1.2.
      if (text === "BARRIER=1") expect(descriptors).toHaveLength(1);
      else this.messages.push(text);
    }
    return this.messages;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }
}

const inContainer = "/run/notify/notify.sock";
/** Says how it finds its socket, and goes on. */
const looking = ["sh", "-c", 'echo "$NOTIFY_SOCKET $(stat -c "%A %F" $NOTIFY_SOCKET)"; exec sleep 1000'];
const found = `${inContainer} srwxrwxrwx socket\n`;

/** Says something for the container, as one of its processes would. */
async function say(id: string, message: string): Promise<number> {
  const { pid } = await runtime.state(id);
  serviceNotify(`/proc/${pid}/root${inContainer}`, message);
  return pid;
}

const isRunning = (id: string) => async () => {
  const { status, stdout } = await runtime.verb(["state", id]);
  return status === 0 && JSON.parse(stdout).status === "running";
};

/** Afterwards its output is there. */
const hasLooked = (id: string) => async () => {
  const { pid } = await runtime.state(id);
  return (await Bun.file(`/proc/${pid}/comm`).text()) === "sleep\n";
};

test("run --detach returns when the container is ready, and names its first process", async () => {
  using manager = new Manager();
  await using container = runtime.bundle(looking);
  let returned = false;
  const run = runtime
    .detached(["run", "--detach", "-b", container.bundle, container.id], { env: manager.env })
    .finally(() => {
      returned = true;
    });
  await runtime.until("it runs", isRunning(container.id));
  await runtime.until("it has looked", hasLooked(container.id));
  await say(container.id, "STATUS=loading");
  expect([manager.look(), returned]).toEqual([[], false]);
  const pid = await say(container.id, "READY=1");
  await runtime.until("both messages have come", () => manager.look().length === 2);
  expect(await run).toEqual({ status: 0, stdout: found, stderr: "" });
  expect(manager.messages).toEqual(["READY=1", `MAINPID=${pid}`]);
});

test("run in the foreground says that it is itself the one to watch", async () => {
  using manager = new Manager();
  await using container = runtime.bundle(looking);
  await using run = runtime.live(["run", "-b", container.bundle, container.id], manager.env);
  await run.shows(found);
  await say(container.id, "READY=1");
  await runtime.until("both messages have come", () => manager.look().length === 2);
  expect(manager.messages).toEqual(["READY=1", `MAINPID=${run.pid}`]);
  await runtime.ok("kill", container.id, "KILL");
  expect(await run.end()).toBe(137);
  expect(runtime.traces(container.id)).toEqual([]);
});

test("create makes room for the socket, and start returns when the container is ready", async () => {
  using manager = new Manager();
  const made = runtime.bundle(["sleep", "1000"]);
  await using container = made;
  const { id, bundle } = container;
  expect((await runtime.detached(["create", "-b", bundle, id], { env: manager.env })).status).toBe(0);
  const socket = join(runtime.stateRoot, id, "notify", "notify.sock");
  expect(existsSync(socket)).toBe(false);
  const start = runtime.verb(["start", id], { env: manager.env });
  await runtime.until("it runs", isRunning(id));
  expect(existsSync(socket)).toBe(true);
  const { pid } = await runtime.state(id);
  expect(await Bun.file(`/proc/${pid}/mountinfo`).text()).toMatch(
    /\/notify \/run\/notify ro,nosuid,nodev,noexec,relatime /,
  );
  await say(id, "READY=1");
  await runtime.until("both messages have come", () => manager.look().length === 2);
  expect(await start).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(manager.messages).toEqual(["READY=1", `MAINPID=${pid}`]);
});

test("the variable is set for nobody where there is no service manager", async () => {
  const { stdout } = await runtime.run(["sh", "-c", 'echo "[$NOTIFY_SOCKET]"; ls -d /run/notify'], (config) => {
    config.process.env = config.process.env!.filter((line) => !line.startsWith("NOTIFY_SOCKET="));
    config.mounts.push({ destination: "/run", type: "tmpfs", source: "tmpfs" });
  });
  expect(stdout).toBe("[]\n");
});

// runc 1.1.5 waits for ever, for it is itself the parent that would have to reap the process.
needs("tsd")("run --detach returns when the container has ended without being ready", async () => {
  using manager = new Manager();
  await using container = runtime.bundle(["true"]);
  const words = ["run", "--detach", "-b", container.bundle, container.id];
  expect(await runtime.detached(words, { env: manager.env })).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(manager.look()).toEqual([]);
});

// runc knows READY=1 only at the beginning of a message, up to 1.1.
needs("runc >= 1.2")("READY=1 may stand among other lines", async () => {
  using manager = new Manager();
  await using container = runtime.bundle(looking);
  await using run = runtime.live(["run", "-b", container.bundle, container.id], manager.env);
  await run.shows(found);
  await say(container.id, "STATUS=up\nREADY=1\nWATCHDOG=1");
  await runtime.until("both messages have come", () => manager.look().length === 2);
  expect(manager.messages).toEqual(["READY=1", `MAINPID=${run.pid}`]);
  await runtime.ok("kill", container.id, "KILL");
  await run.end();
});

test("a service manager that is not there keeps no container from running", async () => {
  await using container = runtime.bundle(["sh", "-c", "sleep 0.1; exit 4"]);
  const env = { NOTIFY_SOCKET: "/no/such/socket" };
  expect((await runtime.verb(["run", "-b", container.bundle, container.id], { env })).status).toBe(4);
});

test("start of a container that was created without room for the socket", async () => {
  using manager = new Manager();
  await using container = await runtime.created();
  const { status } = await command(runtime.argv("start", container.id), { env: manager.env });
  // tsd starts it: what the service manager is not told is no reason to keep a container from running. runc refuses.
  expect(status).toBe(isTsd ? 0 : 1);
  expect(await runtime.state(container.id)).toMatchObject({ status: isTsd ? "running" : "created" });
});
