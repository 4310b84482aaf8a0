/** For tests: a host of namespaces with a resolver that runs from source, and containers that are namespaces alone. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Fd } from "../../../../ffi/fd.ts";
import { createNetworkNamespace, inNetworkNamespace } from "../../../../ffi/namespace.ts";
import { tsdCommand } from "../../../core/testing/tsd.ts";
import { run, Testbed } from "../../testbed.ts";
import type { EndpointNames, ServedSandbox } from "../records.ts";
import { Resolver } from "../resolver.ts";

export class ResolverBed implements Disposable {
  readonly bed: Testbed = new Testbed();
  readonly directory: string = mkdtempSync("/var/tmp/tsd-names-");
  readonly resolvConf: string = join(this.directory, "resolv.conf");
  readonly logPath: string = join(this.directory, "log");
  /** The processes that were started. */
  readonly started: number[] = [];
  readonly #opened: Resolver[] = [];
  readonly #namespaces: Fd[] = [];
  #lastSocket = 0;

  constructor() {
    writeFileSync(this.resolvConf, "nameserver 127.0.0.1\nnameserver 127.0.0.2\n");
  }

  /** A daemon's side, with a socket of its own unless it is to find another's process. */
  open(socket: string = `${++this.#lastSocket}.sock`): Resolver {
    // Its /etc/resolv.conf is the test's, in a mount namespace of its own.
    const script = `mount --bind ${this.resolvConf} /etc/resolv.conf; exec "$@"`;
    const resolver = new Resolver({
      socketPath: join(this.directory, socket),
      logPath: this.logPath,
      logLevel: "debug",
      onStarted: (pid) => this.started.push(pid),
      command: ["unshare", "-m", "sh", "-ec", script, "sh", ...tsdCommand, "resolver"],
    });
    this.#opened.push(resolver);
    return resolver;
  }

  namespace(): Fd {
    const fd = createNetworkNamespace();
    this.#namespaces.push(fd);
    inNetworkNamespace(fd, () => run("ip", "link", "set", "lo", "up"));
    return fd;
  }

  /** A container `nameID` with the address 10.0.0.ID on the network `net`. */
  async container(
    resolver: Resolver,
    id: number,
    options: Partial<EndpointNames> & Partial<ServedSandbox> = {},
  ): Promise<Fd> {
    const fd = this.namespace();
    const told = [resolver.setNames(endpointOf(id, options)), resolver.serve(sandboxOf(id, fd, options))];
    await Promise.all(told);
    return fd;
  }

  /** Ends what runs; namespaces are kept by whoever holds them. */
  endAll(): void {
    for (const resolver of this.#opened.splice(0)) resolver.close();
    for (const pid of this.started.splice(0)) killIfThere(pid);
    for (const fd of this.#namespaces.splice(0)) fd.close();
  }

  [Symbol.dispose](): void {
    this.endAll();
    this.bed[Symbol.dispose]();
    rmSync(this.directory, { recursive: true });
  }
}

export function endpointOf(id: number, options: Partial<EndpointNames> = {}): EndpointNames {
  const { internal = false, names = [`name${id}`], ipv4 = `10.0.${id >> 8}.${id & 255}`, ipv6 } = options;
  return {
    endpointId: `e${id}`,
    sandboxId: `s${id}`,
    containerId: `c${id}`,
    networkId: options.networkId ?? "n",
    networkName: options.networkName ?? "net",
    internal,
    names,
    ipv4,
    ...(ipv6 !== undefined && { ipv6 }),
  };
}

export function sandboxOf(id: number, namespace: Fd, options: Partial<ServedSandbox> = {}): ServedSandbox {
  const namespacePath = `/proc/${process.pid}/fd/${namespace.number}`;
  return { sandboxId: `s${id}`, namespacePath, servers: options.servers ?? [] };
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It was ended by the test.
  }
}

export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 10_000; !(await condition()); await Bun.sleep(5)) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
  }
}
