/** Networks, sandboxes and endpoints on record. What is in the kernel has been here before. */
import type { Database } from "bun:sqlite";
import type { Adoption } from "./driver/driver.ts";
import { randomUniqueLocalPrefix } from "./ipam.ts";
import type { Network, NetworkDriver, NetworkSubnet } from "./network.ts";
import type { EndpointRequest, SandboxRequest, SandboxWishes } from "./sandbox.ts";

/** An address with the length of its subnet's prefix. */
export interface EndpointAddress {
  address: string;
  prefixLength: number;
}

/** What was asked of an endpoint and does not show in its addresses. */
export type EndpointWishes = Pick<
  EndpointRequest,
  "names" | "links" | "driverOptions" | "gatewayPriority" | "linkLocal"
>;

export interface EndpointRecord {
  id: string;
  sandboxId: string;
  networkId: string;
  /** Absent, like the rest, where a network has no interfaces of its own: `host`, `none`. */
  interface?: string;
  /** The name of the host's end; there may be none of that name (macvlan). */
  hostInterface?: string;
  mac?: string;
  ipv4?: EndpointAddress;
  ipv6?: EndpointAddress;
  wishes: EndpointWishes;
}

export interface SandboxRecord extends SandboxWishes {
  id: string;
  /** Null for a spare, and for what is being taken down. */
  containerId: string | null;
  kind: SandboxRequest["kind"];
  /** In the order in which they came. */
  endpoints: EndpointRecord[];
}

/** Of a sandbox that is nobody's, or has nothing of the kind. */
export const noSandboxWishes: SandboxWishes = {
  containerName: "",
  dns: { servers: [], search: [], options: [] },
  ports: [],
};

interface NetworkRow {
  id: string;
  name: string;
  driver: string;
  device: string | null;
  created_at: string;
  definition: string;
}

interface SubnetRow {
  network_id: string;
  subnet: string;
  ip_range: string | null;
  gateway: string | null;
  auxiliary: string | null;
  is_configured: number;
}

interface SandboxRow {
  id: string;
  container_id: string | null;
  kind: string;
  request: string;
}

interface EndpointRow {
  id: string;
  sandbox_id: string;
  network_id: string;
  interface: string | null;
  host_interface: string | null;
  mac: string | null;
  request: string;
}

interface AddressRow {
  endpoint_id: string;
  address: string;
  prefix_length: number;
}

/** What of a network is in the column `definition`. */
type Definition = Omit<Network, "id" | "name" | "driver" | "createdAt" | "subnets" | "device">;

/** Of a built-in network, and of one that is on record from before there was a definition. */
export const plainDefinition: Definition = {
  enableIpv4: true,
  enableIpv6: false,
  internal: false,
  attachable: false,
  configOnly: false,
  ipamDriver: "default",
  ipamOptions: {},
  options: {},
  labels: {},
  isBuiltIn: true,
};

export const noWishes: EndpointWishes = { names: [], links: [], driverOptions: {}, gatewayPriority: 0 };

const plainWishes = JSON.stringify(noWishes);

const endpointColumns = "e.id, e.sandbox_id, e.network_id, e.interface, e.host_interface, e.mac, e.request";

export class NetworkRecords {
  readonly #database: Database;
  readonly #synchronous: number;

  constructor(database: Database) {
    this.#database = database;
    this.#synchronous = database.query<{ synchronous: number }, []>("PRAGMA synchronous").get()!.synchronous;
  }

  networks(): Network[] {
    const rows = this.#database.query<NetworkRow, []>("SELECT * FROM network ORDER BY rowid").all();
    const subnets = this.#database
      .query<SubnetRow, []>("SELECT * FROM network_subnet ORDER BY network_id, position")
      .all();
    const byNetwork = Map.groupBy(subnets, (row) => row.network_id);
    return rows.map((row) => networkOf(row, byNetwork.get(row.id) ?? []));
  }

  addNetwork(network: Network): void {
    const { id, name, driver, createdAt, subnets, device, ...definition } = network;
    this.#database.transaction(() => {
      this.#database
        .query("INSERT INTO network (id, name, driver, device, created_at, definition) VALUES (?, ?, ?, ?, ?, ?)")
        .run(id, name, driver, device ?? null, createdAt, JSON.stringify(definition satisfies Definition));
      this.#addSubnets(id, subnets);
    })();
  }

  /** Writes anew what may change of a network: its device, its subnets, what it is made of. */
  updateNetwork(network: Network): void {
    const { id, name: _name, driver: _driver, createdAt: _at, subnets, device, ...definition } = network;
    this.#database.transaction(() => {
      this.#database
        .query("UPDATE network SET device = ?, definition = ? WHERE id = ?")
        .run(device ?? null, JSON.stringify(definition satisfies Definition), id);
      this.#database.query("DELETE FROM network_subnet WHERE network_id = ?").run(id);
      this.#addSubnets(id, subnets);
    })();
  }

  #addSubnets(networkId: string, subnets: readonly NetworkSubnet[]): void {
    const insert = this.#database.query(
      `INSERT INTO network_subnet (network_id, position, subnet, ip_range, gateway, auxiliary, is_configured)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    );
    for (const [position, entry] of subnets.entries()) {
      const { subnet, ipRange, gateway, auxiliaryAddresses, isConfigured } = entry;
      const auxiliary = auxiliaryAddresses === undefined ? null : JSON.stringify(auxiliaryAddresses);
      const configured = isConfigured === true ? 1 : 0;
      insert.run(networkId, position, subnet, ipRange ?? null, gateway ?? null, auxiliary, configured);
    }
  }

  removeNetwork(id: string): void {
    this.#database.query("DELETE FROM network WHERE id = ?").run(id);
  }

  /** All sandboxes; a daemon that starts looks at them once. */
  sandboxes(): SandboxRecord[] {
    const endpoints = Map.groupBy(this.#endpoints("", []), (record) => record.sandboxId);
    return this.#database
      .query<SandboxRow, []>("SELECT * FROM network_sandbox ORDER BY rowid")
      .all()
      .map((row) => sandboxOf(row, endpoints.get(row.id) ?? []));
  }

  sandboxOf(containerId: string): SandboxRecord | undefined {
    const row = this.#database
      .query<SandboxRow, [string]>("SELECT * FROM network_sandbox WHERE container_id = ?")
      .get(containerId);
    return row === null ? undefined : sandboxOf(row, this.#endpoints("e.sandbox_id = ?", [row.id]));
  }

  hasSandbox(containerId: string): boolean {
    return this.#database.query("SELECT 1 FROM network_sandbox WHERE container_id = ?").get(containerId) !== null;
  }

  /** The endpoints on a network, with whose they are; those that are being taken down and spares among them. */
  endpointsOn(networkId: string): (EndpointRecord & { containerId: string | null })[] {
    const owners = this.#database
      .query<{ id: string; container_id: string | null }, [string]>(
        `SELECT e.id, s.container_id FROM network_endpoint e JOIN network_sandbox s ON s.id = e.sandbox_id
         WHERE e.network_id = ?`,
      )
      .all(networkId);
    const containers = new Map(owners.map((row) => [row.id, row.container_id]));
    return this.#endpoints("e.network_id = ?", [networkId]).map((record) => ({
      ...record,
      containerId: containers.get(record.id) ?? null,
    }));
  }

  /** Whose an IP address is on a network; what is nobody's, a spare or what is being taken down, has no container. */
  holderOfAddress(networkId: string, address: string): SandboxRecord | undefined {
    return this.#holder("network_address a JOIN network_endpoint e ON e.id = a.endpoint_id", "a", "address", [
      networkId,
      address,
    ]);
  }

  holderOfMac(networkId: string, mac: string): SandboxRecord | undefined {
    return this.#holder("network_endpoint e", "e", "mac", [networkId, mac]);
  }

  #holder(tables: string, table: string, column: string, values: [string, string]): SandboxRecord | undefined {
    const row = this.#database
      .query<SandboxRow, [string, string]>(
        `SELECT s.* FROM ${tables} JOIN network_sandbox s ON s.id = e.sandbox_id
         WHERE ${table}.network_id = ? AND ${table}.${column} = ?`,
      )
      .get(...values);
    return row === null ? undefined : sandboxOf(row, []);
  }

  /** Whether a container is on the network. */
  hasContainers(networkId: string): boolean {
    const query = this.#database.query(
      `SELECT 1 FROM network_endpoint e JOIN network_sandbox s ON s.id = e.sandbox_id
       WHERE e.network_id = ? AND s.container_id IS NOT NULL LIMIT 1`,
    );
    return query.get(networkId) !== null;
  }

  /** Whether anything is, also what is being taken down. */
  hasEndpoints(networkId: string): boolean {
    return this.#database.query("SELECT 1 FROM network_endpoint WHERE network_id = ? LIMIT 1").get(networkId) !== null;
  }

  /** The addresses of a network that are taken. */
  addressesOf(networkId: string): string[] {
    return this.#database
      .query<{ address: string }, [string]>("SELECT address FROM network_address WHERE network_id = ?")
      .all(networkId)
      .map(({ address }) => address);
  }

  #endpoints(condition: string, values: string[]): EndpointRecord[] {
    const where = condition === "" ? "" : `WHERE ${condition}`;
    const rows = this.#database
      .query<EndpointRow, string[]>(`SELECT ${endpointColumns} FROM network_endpoint e ${where} ORDER BY e.rowid`)
      .all(...values);
    if (rows.length === 0) return [];
    const addresses = this.#database
      .query<AddressRow, string[]>(
        `SELECT a.endpoint_id, a.address, a.prefix_length
         FROM network_endpoint e JOIN network_address a ON a.endpoint_id = e.id ${where}`,
      )
      .all(...values);
    const byEndpoint = Map.groupBy(addresses, (row) => row.endpoint_id);
    return rows.map((row) => endpointOf(row, byEndpoint.get(row.id) ?? []));
  }

  addSandbox(sandbox: SandboxRecord): void {
    this.#quickly(() => {
      this.#database
        .query("INSERT INTO network_sandbox (id, container_id, kind, request) VALUES (?, ?, ?, ?)")
        .run(sandbox.id, sandbox.containerId, sandbox.kind, sandboxRequest(sandbox));
      for (const endpoint of sandbox.endpoints) this.#insertEndpoint(endpoint);
    });
  }

  addEndpoint(endpoint: EndpointRecord): void {
    this.#quickly(() => this.#insertEndpoint(endpoint));
  }

  #insertEndpoint({ id, sandboxId, networkId, ipv4, ipv6, wishes, ...rest }: EndpointRecord): void {
    this.#database
      .query(
        `INSERT INTO network_endpoint (id, sandbox_id, network_id, interface, host_interface, mac, request)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        id,
        sandboxId,
        networkId,
        rest.interface ?? null,
        rest.hostInterface ?? null,
        rest.mac ?? null,
        JSON.stringify(wishes),
      );
    for (const { address, prefixLength } of [ipv4, ipv6].filter((each) => each !== undefined)) {
      this.#database
        .query("INSERT INTO network_address (network_id, address, prefix_length, endpoint_id) VALUES (?, ?, ?, ?)")
        .run(networkId, address, prefixLength, id);
    }
  }

  /** A spare becomes a container's: the sandbox is its own from now on, and its first endpoint has its wishes. */
  giveTo(containerId: string, sandbox: SandboxRecord): void {
    this.#quickly(() => {
      this.#database
        .query("UPDATE network_sandbox SET container_id = ?, request = ? WHERE id = ?")
        .run(containerId, sandboxRequest(sandbox), sandbox.id);
      const [first] = sandbox.endpoints;
      const wishes = JSON.stringify(first?.wishes);
      // As a rule it wants nothing that it has not got.
      if (first === undefined || wishes === plainWishes) return;
      this.#database.query("UPDATE network_endpoint SET request = ? WHERE id = ?").run(wishes, first.id);
    });
  }

  /** What the sandbox and its endpoints ask for, in place of what they asked for before. */
  setWishes(sandbox: SandboxRecord): void {
    this.#quickly(() => {
      const request = sandboxRequest(sandbox);
      this.#database.query("UPDATE network_sandbox SET request = ? WHERE id = ?").run(request, sandbox.id);
      for (const { id, wishes } of sandbox.endpoints) {
        this.#database.query("UPDATE network_endpoint SET request = ? WHERE id = ?").run(JSON.stringify(wishes), id);
      }
    });
  }

  /** Takes a sandbox away from its container: it is being taken down. */
  disown(sandboxId: string): void {
    this.#quickly(() => {
      this.#database.query("UPDATE network_sandbox SET container_id = NULL WHERE id = ?").run(sandboxId);
    });
  }

  removeSandbox(sandboxId: string): void {
    this.#quickly(() => {
      this.#database.query("DELETE FROM network_sandbox WHERE id = ?").run(sandboxId);
    });
  }

  /** A sandbox that is on no network comes on `none`, where it is alone. */
  enterNone(endpoint: EndpointRecord): void {
    this.#quickly(() => {
      this.#insertEndpoint(endpoint);
      this.#setKind(endpoint.sandboxId, "none");
    });
  }

  /** It leaves `none`: from now on it may come on any network. */
  leaveNone({ id, sandboxId }: EndpointRecord): void {
    this.#quickly(() => {
      this.removeEndpoint(id);
      this.#setKind(sandboxId, "networks");
    });
  }

  #setKind(sandboxId: string, kind: "none" | "networks"): void {
    this.#database.query("UPDATE network_sandbox SET kind = ? WHERE id = ?").run(kind, sandboxId);
  }

  removeEndpoint(endpointId: string): void {
    this.#quickly(() => {
      this.#database.query("DELETE FROM network_endpoint WHERE id = ?").run(endpointId);
    });
  }

  /** The /48 that IPv6 subnets come from: made when first asked for, and the same from then on. */
  uniqueLocalPrefix(): string {
    const query = this.#database.query<{ prefix: string }, []>("SELECT prefix FROM network_unique_local");
    const there = query.get();
    if (there !== null) return there.prefix;
    const prefix = randomUniqueLocalPrefix();
    this.#database.query("INSERT INTO network_unique_local (prefix) VALUES (?)").run(prefix);
    return prefix;
  }

  hostSettings(): { name: string; previous: string }[] {
    return this.#database.query<{ name: string; previous: string }, []>("SELECT * FROM network_host_setting").all();
  }

  /** What a network's bridge, which is not tsd's, has of tsd; undefined where the bridge is tsd's own. */
  adoption(networkId: string): Adoption | undefined {
    const row = this.#database
      .query<{ adoption: string }, [string]>("SELECT adoption FROM network_adoption WHERE network_id = ?")
      .get(networkId);
    return row === null ? undefined : (JSON.parse(row.adoption) as Adoption);
  }

  recordAdoption(networkId: string, adoption: Adoption | undefined): void {
    if (adoption === undefined) {
      this.#database.run("DELETE FROM network_adoption WHERE network_id = ?", [networkId]);
      return;
    }
    this.#database.run("INSERT OR REPLACE INTO network_adoption (network_id, adoption) VALUES (?, ?)", [
      networkId,
      JSON.stringify(adoption),
    ]);
  }

  /** Remembers what a setting of the host was before it was changed the first time. */
  rememberHostSetting(name: string, previous: string): void {
    this.#database.run("INSERT OR IGNORE INTO network_host_setting (name, previous) VALUES (?, ?)", [name, previous]);
  }

  /**
   * A transaction that survives the death of this process but not the machine's: what it records lives in the kernel
   * and is gone after a crash as well, so nobody waits for the disk (synchronous=NORMAL in WAL mode).
   */
  #quickly(work: () => void): void {
    if (this.#database.inTransaction) {
      work();
      return;
    }
    this.#database.run("PRAGMA synchronous = NORMAL");
    try {
      this.#database.transaction(work)();
    } finally {
      this.#database.run(`PRAGMA synchronous = ${this.#synchronous}`);
    }
  }
}

function networkOf(row: NetworkRow, subnets: readonly SubnetRow[]): Network {
  return {
    ...plainDefinition,
    ...(JSON.parse(row.definition) as Partial<Definition>),
    id: row.id,
    name: row.name,
    driver: row.driver as NetworkDriver,
    createdAt: row.created_at,
    ...(row.device !== null && { device: row.device }),
    subnets: subnets.map((subnet) => ({
      subnet: subnet.subnet,
      ...(subnet.is_configured !== 0 && { isConfigured: true }),
      ...(subnet.ip_range !== null && { ipRange: subnet.ip_range }),
      ...(subnet.gateway !== null && { gateway: subnet.gateway }),
      ...(subnet.auxiliary !== null && { auxiliaryAddresses: JSON.parse(subnet.auxiliary) as Record<string, string> }),
    })),
  };
}

function sandboxOf(row: SandboxRow, endpoints: EndpointRecord[]): SandboxRecord {
  const request = JSON.parse(row.request) as Partial<SandboxWishes>;
  return {
    id: row.id,
    containerId: row.container_id,
    kind: row.kind as SandboxRequest["kind"],
    ...noSandboxWishes,
    ...request,
    endpoints,
  };
}

function sandboxRequest({ containerName, dns, ports }: SandboxRecord): string {
  return JSON.stringify({ containerName, dns, ports } satisfies SandboxWishes);
}

function endpointOf(row: EndpointRow, addresses: readonly AddressRow[]): EndpointRecord {
  const of = (isIpv6: boolean): EndpointAddress | undefined => {
    const found = addresses.find(({ address }) => address.includes(":") === isIpv6);
    return found && { address: found.address, prefixLength: found.prefix_length };
  };
  const [ipv4, ipv6] = [of(false), of(true)];
  return {
    id: row.id,
    sandboxId: row.sandbox_id,
    networkId: row.network_id,
    ...(row.interface !== null && { interface: row.interface }),
    ...(row.host_interface !== null && { hostInterface: row.host_interface }),
    ...(row.mac !== null && { mac: row.mac }),
    ...(ipv4 !== undefined && { ipv4 }),
    ...(ipv6 !== undefined && { ipv6 }),
    wishes: { ...noWishes, ...(JSON.parse(row.request) as Partial<EndpointWishes>) },
  };
}
