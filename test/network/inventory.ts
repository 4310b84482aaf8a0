/** All that networks could leave on a host: one line for each thing, the same line for the same thing. */
import { Database } from "bun:sqlite";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { until } from "../harness/command.ts";
import type { Engine } from "../harness/engine.ts";

/** Forwarding and what goes with it: of the host, and of each of its interfaces. */
const settings = [
  "ipv4/ip_forward",
  "ipv6/conf/all/forwarding",
  "ipv6/conf/default/forwarding",
  "ipv4/conf/all/route_localnet",
  ...["eth0", "eth1", "eth2", "eth3"].flatMap((device) => [
    `ipv4/conf/${device}/route_localnet`,
    `ipv6/conf/${device}/accept_ra`,
    `ipv6/conf/${device}/forwarding`,
  ]),
];

/** Longer than the daemon waits for the kernel between two looks. */
const settlingMs = 300;

/** @returns sorted lines, equal for hosts in the same state: names made at random are left out. */
export async function takeInventory(engine: Engine): Promise<string[]> {
  const { workspace, daemon } = engine;
  using database = new Database(join(daemon.root, "metadata.db"), { readonly: true });
  const spare = spareOf(database);
  const shown = async (...argv: string[]) => {
    const { status, stdout, stderr } = await workspace.run(argv);
    if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
    return stdout.split("\n").filter((line) => line.trim() !== "");
  };
  const labelled = async (label: string, ...argv: string[]) =>
    (await shown(...argv)).map((line) => `${label}: ${withoutRandomNames(line)}`);
  const values = await shown("sh", "-c", `cd /proc/sys/net; grep -Hs '' ${settings.join(" ")}`);
  return [
    ...(await links(shown, spare)),
    ...(await labelled("route", "ip", "-4", "route", "show", "table", "all")),
    // Link-local addresses come by themselves, once the kernel has seen that nobody else has them, and what follows them.
    ...(await labelled("route", "ip", "-6", "route", "show", "table", "all")).filter(
      (line) => !/fe80::|ff00::/.test(line),
    ),
    ...(await labelled("rule", "ip", "-4", "rule")),
    ...(await labelled("rule", "ip", "-6", "rule")),
    ...(await labelled("nft", "nft", "-s", "list", "ruleset")),
    ...(await shown("ss", "-Hlntu")).map((line) => `socket: ${withoutQueues(line)}`),
    ...values.map((value) => `setting: ${value}`),
    ...records(database, spare),
    ...namespaces(workspace.name, database),
    ...(await daemon.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}"))
      .split("\n")
      .map((row) => `network: ${row}`),
    ...(await daemon.ok("ps", "-a", "--format", "{{.Names}} {{.State}}")).split("\n").map((row) => `container: ${row}`),
  ].sort();
}

/** Waits until nothing changes any more: a spare namespace is made, and what ended is taken down. */
export async function takeSettledInventory(engine: Engine): Promise<string[]> {
  let before: string[] = [];
  return until("nothing changes", async () => {
    const last = before;
    before = await takeInventory(engine);
    if (last.length > 0 && differencesOf(last, before).length === 0) return before;
    await Bun.sleep(settlingMs);
    return undefined;
  });
}

/**
 * Waits until everything is as it was: much is taken away in the background.
 * @throws with every difference.
 */
export async function expectSameInventory(engine: Engine, earlier: readonly string[]): Promise<void> {
  let differences: string[] = [];
  try {
    await until(
      "all is as before",
      async () => {
        differences = differencesOf(earlier, await takeInventory(engine));
        return differences.length === 0;
      },
      10_000,
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${differences.join("\n")}`, { cause: error });
  }
}

export function differencesOf(earlier: readonly string[], later: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of later) counts.set(line, (counts.get(line) ?? 0) + 1);
  for (const line of earlier) counts.set(line, (counts.get(line) ?? 0) - 1);
  return [...counts].flatMap(([line, more]) => {
    return more === 0
      ? []
      : [`${more > 0 ? "left over" : "missing"}${Math.abs(more) > 1 ? ` (${Math.abs(more)})` : ""}: ${line}`];
  });
}

interface Link {
  ifname: string;
  master?: string;
  mtu: number;
  linkinfo?: { info_kind?: string };
  addr_info: { local: string; prefixlen: number }[];
}

async function links(shown: (...argv: string[]) => Promise<string[]>, spare: Spare): Promise<string[]> {
  const all = JSON.parse((await shown("ip", "-j", "-d", "addr")).join("\n")) as Link[];
  const isSpare = ({ ifname }: Link) => spare.endpoints.some(({ hostInterface }) => hostInterface === ifname);
  return all
    .filter((each) => !isSpare(each))
    .flatMap(({ ifname, master = "-", mtu, linkinfo, addr_info }) => {
      const name = withoutRandomNames(ifname);
      const addresses = addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
      return [
        `link: ${name} ${linkinfo?.info_kind ?? ""} mtu ${mtu} master ${withoutRandomNames(master)}`,
        ...addresses.filter((text) => !text.startsWith("fe80:")).map((text) => `address: ${name} ${text}`),
      ];
    });
}

function withoutRandomNames(text: string): string {
  // A bridge has a carrier as long as it has ports, and no longer for a moment.
  return text
    .replaceAll(/\bveth[0-9a-z]+/g, "veth…")
    .replace(" linkdown", "")
    .trim();
}

/** `tcp LISTEN 0 512 127.0.0.1:80 0.0.0.0:*` without the lengths of its queues. */
function withoutQueues(line: string): string {
  return line
    .split(/\s+/)
    .filter((_, column) => column !== 2 && column !== 3)
    .join(" ");
}

/** What is kept ready for the next container, and is there at one moment and not at another. */
interface Spare {
  sandbox: string;
  endpoints: { id: string; hostInterface: string }[];
}

/** A sandbox of no container: a spare, or one that is being taken down, of which there are more then. */
function spareOf(database: Database): Spare {
  const [row] = database.query("SELECT id FROM network_sandbox WHERE container_id IS NULL").values() as [string][];
  const sandbox = row?.[0] ?? "";
  const text = "SELECT id, host_interface AS hostInterface FROM network_endpoint WHERE sandbox_id = ?";
  return { sandbox, endpoints: database.query<Spare["endpoints"][number], [string]>(text).all(sandbox) };
}

/** How many rows each table of networks and ports has, without those of the spare. */
function records(database: Database, { sandbox, endpoints }: Spare): string[] {
  const own: Record<string, number> = {
    network_sandbox: sandbox === "" ? 0 : 1,
    network_endpoint: endpoints.length,
    network_address: endpoints.reduce((sum, { id }) => {
      const text = "SELECT count(*) AS count FROM network_address WHERE endpoint_id = ?";
      return sum + database.query<{ count: number }, [string]>(text).get(id)!.count;
    }, 0),
  };
  const names = database.query("SELECT name FROM sqlite_schema WHERE type = 'table'").values() as [string][];
  return names
    .map(([name]) => name)
    .filter((name) => /^(network|port|published)/.test(name))
    .map((name) => {
      const [[count]] = database.query(`SELECT count(*) FROM ${name}`).values() as [[number]];
      return `records: ${name} ${count - (own[name] ?? 0)}`;
    });
}

/** Beside the host's and the containers': one with an interface and one without are kept ready for the next. */
const spareNamespacesMax = 2;

/** Network namespaces that a process of the daemon's is in or holds, beyond those that there may be. */
function namespaces(workspace: string, database: Database): string[] {
  const found = new Set<string>();
  for (const { pid } of pidsOf(workspace)) {
    found.add(link(`/proc/${pid}/ns/net`));
    for (const fd of entries(`/proc/${pid}/fd`)) found.add(link(`/proc/${pid}/fd/${fd}`));
  }
  const held = [...found].filter((name) => name.startsWith("net:")).length;
  const text = "SELECT count(*) FROM network_sandbox WHERE container_id IS NOT NULL AND kind IN ('networks', 'none')";
  const [[containers]] = database.query(text).values() as [[number]];
  const more = held - 1 - containers - spareNamespacesMax;
  return more > 0 ? [`network namespaces of no container: ${more}`] : [];
}

function pidsOf(workspace: string): { pid: string; words: string[] }[] {
  return entries("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return words[0]!.endsWith("tsd") && words.some((word) => word.includes(workspace)) ? [{ pid, words }] : [];
    } catch {
      return []; // it ended while it was looked at
    }
  });
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // the process has ended meanwhile
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // it was closed meanwhile
  }
}
