/** For tests: requests with nothing special in them, and the processes beside a daemon. */
import { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../core/errors.ts";
import { tsdCommand } from "../core/testing/tsd.ts";
import type { NetworkRequest } from "./network.ts";
import type { Networks, NetworksOptions } from "./networks.ts";
import type { EndpointRequest, Sandbox, SandboxEndpoint, SandboxRequest } from "./sandbox.ts";

/** The processes beside a daemon, which end with the test. */
export class TestCompanions implements Disposable {
  readonly options: NetworksOptions["companions"];
  readonly pids: number[] = [];

  readonly directory = mkdtempSync("/var/tmp/tsd-companions-");

  constructor() {
    const of = (mode: "proxy" | "resolver") => ({
      socketPath: join(this.directory, `${mode}.sock`),
      logPath: join(this.directory, `${mode}.log`),
      command: [...tsdCommand, mode],
      onStarted: (pid: number) => void this.pids.push(pid),
    });
    this.options = { proxy: of("proxy"), resolver: of("resolver") };
  }

  end(): void {
    for (const pid of this.pids.splice(0)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        // It has ended: nothing was left for it to do.
        if (!isErrno(error, "ESRCH")) throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    this.end();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function endpointRequest(networkId: string, more: Partial<EndpointRequest> = {}): EndpointRequest {
  return { networkId, names: [], links: [], driverOptions: {}, gatewayPriority: 0, ...more };
}

export function networksRequest(...endpoints: EndpointRequest[]): Extract<SandboxRequest, { kind: "networks" }> {
  return {
    kind: "networks",
    containerName: "test",
    endpoints,
    ports: [],
    dns: { servers: [], search: [], options: [] },
  };
}

export function networkRequest(name: string, more: Partial<NetworkRequest> = {}): NetworkRequest {
  return {
    name,
    driver: "bridge",
    subnets: [],
    options: {},
    labels: {},
    internal: false,
    attachable: false,
    configOnly: false,
    ...more,
  };
}

/** A sandbox with its first endpoint beside it. */
export interface Attached extends SandboxEndpoint {
  sandbox: Sandbox;
  namespacePath: string;
}

/** Puts a container on one network, on the default one unless another is named. */
export async function attach(
  networks: Networks,
  containerId: string,
  network = "bridge",
  more: Partial<EndpointRequest> = {},
): Promise<Attached> {
  const request = endpointRequest(networks.find(network).id, more);
  const sandbox = await networks.attach(containerId, networksRequest(request));
  return { ...sandbox.endpoints[0]!, sandbox, namespacePath: sandbox.namespacePath! };
}

/** Holds a sandbox's namespace as a container's process does. */
export async function holdNamespace({ namespacePath }: Attached): Promise<Disposable & { path: string }> {
  const child = Bun.spawn(["nsenter", `--net=${namespacePath}`, "sleep", "1000"]);
  const path = `/proc/${child.pid}/ns/net`;
  // Once it has joined, the daemon may let go of the namespace.
  while (readlinkSync(path) !== readlinkSync(namespacePath)) await Bun.sleep(1);
  return { path, [Symbol.dispose]: () => child.kill("SIGKILL") };
}

/** Whether the kernel has that kind of interface: `dummy`; `vlan`, which stands on another, with its own options. */
export function hasLinkKind(kind: string, ...options: string[]): boolean {
  const parent = options.length > 0 ? "ip link add p9 type bridge && " : "";
  const on = options.length > 0 ? "link p9 " : "";
  const script = `${parent}ip link add ${on}name x9 type ${kind} ${options.join(" ")}`;
  return Bun.spawnSync(["unshare", "-n", "sh", "-c", script]).exitCode === 0;
}
