/** For tests: a host of its own, made of network namespaces, with an uplink to another machine. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { createNetworkNamespace, inNetworkNamespace, setns } from "../../ffi/namespace.ts";

/** The other machine. It has no route to any container: what reaches it must come from the host's own address. */
export const outsideAddress = "192.0.2.1";
export const hostAddress = "192.0.2.2";

/**
 * Moves the main thread into a new network namespace, the host, until it is disposed of. Its eth0 leads to a second
 * namespace, the outside. Test files run one after the other, so no other test sees it.
 */
export class Testbed implements Disposable {
  readonly #before: Fd;
  readonly host: Fd;
  readonly outside: Fd;

  constructor() {
    this.#before = open("/proc/thread-self/ns/net", O_RDONLY);
    this.host = createNetworkNamespace();
    this.outside = createNetworkNamespace();
    setns(this.host);
    // A new namespace takes it over from the machine, which may be running other containers.
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "0");
    ipBatch(
      "link set lo up",
      `link add eth0 type veth peer name eth0 netns /proc/${process.pid}/fd/${this.outside.number}`,
      `addr add ${hostAddress}/24 dev eth0`,
      "link set eth0 up",
      `route add default via ${outsideAddress}`,
    );
    inNetworkNamespace(this.outside, () =>
      ipBatch(
        "link set lo up",
        `addr add ${outsideAddress}/24 dev eth0`,
        "link set eth0 up",
        // Asking lets the kernel's link watch catch up; until then the interfaces send nothing.
        "link show dev eth0",
      ),
    );
    run("ip", "link", "show", "dev", "eth0");
  }

  [Symbol.dispose](): void {
    setns(this.#before);
    for (const fd of [this.#before, this.host, this.outside]) fd.close();
  }
}

/** Runs a program where the thread is, and gives what it printed. @throws Error with what it printed on failure. */
export function run(program: string, ...args: string[]): string {
  const result = spawnSync(program, args, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${program} ${args.join(" ")}: ${result.stderr}${result.error ?? ""}`);
  return result.stdout;
}

/** Runs commands of ip(8) where the thread is, in one process. @throws Error at the first that fails. */
export function ipBatch(...commands: string[]): void {
  const input = `${commands.join("\n")}\n`;
  const result = spawnSync("ip", ["-batch", "-"], { input, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`ip -batch: ${result.stderr}${result.error ?? ""} in:\n${input}`);
}

/** What `ip -j` says where the thread is. */
export function ip(...args: string[]): Record<string, unknown>[] {
  return JSON.parse(run("ip", "-j", "-d", ...args) || "[]");
}

/** The network namespace at a path, for as long as `use` runs. */
export function within<T>(path: string | Fd, use: () => T): T {
  if (typeof path !== "string") return inNetworkNamespace(path, use);
  using fd = open(path, O_RDONLY);
  return inNetworkNamespace(fd, use);
}

/** A TCP server there that tells each client the address that it sees. */
export function serve(namespace: string | Fd, port: number, hostname = "0.0.0.0"): Disposable {
  const server = within(namespace, () =>
    Bun.listen({
      hostname,
      port,
      socket: {
        open: (socket) => void socket.end(socket.remoteAddress),
        data: () => undefined,
      },
    }),
  );
  return { [Symbol.dispose]: () => server.stop(true) };
}

/** Connects from there and gives what the server says; "no answer" when nothing comes. */
export async function ask(namespace: string | Fd, address: string, port: number, timeoutMs = 10_000): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let answer = "";
  const timer = setTimeout(() => resolve("no answer"), timeoutMs);
  const connecting = within(namespace, () =>
    Bun.connect({
      hostname: address,
      port,
      socket: {
        data: (_, data) => {
          answer += data.toString();
        },
        close: () => resolve(answer === "" ? "no answer" : answer),
        connectError: () => resolve("no answer"),
      },
    }),
  );
  connecting.catch(() => resolve("no answer"));
  const said = await promise;
  clearTimeout(timer);
  void connecting.then((socket) => socket.terminate()).catch(() => undefined);
  return said;
}
