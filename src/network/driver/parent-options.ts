/** Docker's driver options of macvlan and ipvlan, and which networks can share a parent. */
import type { IpvlanFlag, IpvlanMode, MacvlanMode } from "../../../ffi/netlink/stacked-link.ts";
import { EngineError } from "../../core/errors.ts";
import { shortId } from "../../core/id.ts";
import type { Network } from "../network.ts";
import { checkInterfaceName } from "./interface-name.ts";

const parentOption = "parent";
const macvlanModeOption = "macvlan_mode";
const ipvlanModeOption = "ipvlan_mode";
const ipvlanFlagOption = "ipvlan_flag";

const macvlanModes: readonly MacvlanMode[] = ["bridge", "private", "vepa", "passthru"];
const ipvlanModes: readonly IpvlanMode[] = ["l2", "l3", "l3s"];
const ipvlanFlags: readonly IpvlanFlag[] = ["bridge", "private", "vepa"];

export type StackedOptions =
  | { driver: "macvlan"; mode: MacvlanMode }
  | { driver: "ipvlan"; mode: IpvlanMode; flag: IpvlanFlag };

type Configured = Pick<Network, "name" | "options">;

export function isStacked(driver: string): driver is StackedOptions["driver"] {
  return driver === "macvlan" || driver === "ipvlan";
}

/** @throws EngineError invalid_argument in Docker's words. */
export function stackedOptions(driver: StackedOptions["driver"], { name, options }: Configured): StackedOptions {
  const choose = <T extends string>(option: string, what: string, known: readonly T[]): T => {
    const value = options[option] ?? "";
    const found = known.find((each) => each === (value === "" ? known[0] : value));
    if (found !== undefined) return found;
    const text = `network ${name}: requested ${what} '${value}' is not valid, '${known[0]}' mode is the ${driver} driver default`;
    throw new EngineError("invalid_argument", text, { hint: `-o ${option}= takes ${known.join(", ")}` });
  };
  if (driver === "macvlan") return { driver, mode: choose(macvlanModeOption, "macvlan mode", macvlanModes) };
  const mode = choose(ipvlanModeOption, "ipvlan mode", ipvlanModes);
  return { driver, mode, flag: choose(ipvlanFlagOption, "ipvlan flag", ipvlanFlags) };
}

/** In ipvlan's modes l3 and l3s the kernel routes to the parent: nobody is asked for by address, no gateway either. */
export function routesByDevice(options: StackedOptions): boolean {
  return options.driver === "ipvlan" && options.mode !== "l2";
}

/**
 * The parent's name: what was asked for, or that of the dummy interface that is made where nothing was.
 * @throws EngineError invalid_argument
 */
export function parentName(driver: StackedOptions["driver"], id: string, { name, options }: Configured): string {
  const parent = options[parentOption] ?? "";
  if (parent === "") return dummyName(driver, id);
  if (parent === "lo") {
    const text = `network ${name}: loopback interface is not a valid ${driver} parent link`;
    throw new EngineError("invalid_argument", text);
  }
  return checkInterfaceName(parent);
}

/** Docker's names for them. */
export function dummyName(driver: StackedOptions["driver"], id: string): string {
  return `${driver === "macvlan" ? "dm" : "di"}-${shortId(id)}`;
}

/**
 * An interface carries either macvlan or ipvlan, ipvlan in one mode, and no other macvlan beside one that passes all
 * through: the kernel refuses what comes second, or changes the first, when a container is started. So it is refused
 * when the network is made.
 * @throws EngineError conflict in Docker's words where it has any.
 */
export function checkSharing(
  { name }: Configured,
  device: string,
  wanted: StackedOptions,
  networks: readonly Network[],
): void {
  for (const other of networks) {
    if (other.device !== device || !isStacked(other.driver)) continue;
    const reason = whyNot(wanted, stackedOptions(other.driver, other), other.name, device);
    if (reason !== undefined) throw new EngineError("conflict", `network ${name}: ${reason}`);
  }
}

function whyNot(wanted: StackedOptions, has: StackedOptions, other: string, device: string): string | undefined {
  const parent = `parent interface ${device}`;
  if (wanted.driver !== has.driver) return `${has.driver} network ${other} is already using ${parent}`;
  if (wanted.mode === "passthru") {
    return `cannot use mode passthru, macvlan network ${other} is already using ${parent}`;
  }
  if (has.mode === "passthru") return `macvlan network ${other} is already using ${parent} in mode passthru`;
  if (wanted.driver === "macvlan" || has.driver === "macvlan") return undefined;
  if (wanted.mode === has.mode && wanted.flag === has.flag) return undefined;
  return `ipvlan network ${other} is already using ${parent} in mode ${has.mode}, flag ${has.flag}`;
}

/** `eth0.50`: the interface beneath, and the VLAN's id. @throws EngineError in Docker's words. */
export function parseVlan(network: string, parent: string): { base: string; id: number } {
  const dot = parent.lastIndexOf(".");
  if (dot <= 0) {
    const text = `network ${network}: the requested parent interface ${parent} was not found on the host`;
    throw new EngineError("not_found", text, { hint: "eth0.10 would be made, of VLAN 10 on eth0" });
  }
  const [base, id] = [parent.slice(0, dot), parent.slice(dot + 1)];
  const wrong = (text: string): EngineError => new EngineError("invalid_argument", `network ${network}: ${text}`);
  if (!/^\d+$/.test(id)) throw wrong(`unable to parse a valid vlan id from: ${parent} (ex. eth0.10 for vlan 10)`);
  if (Number(id) < 1 || Number(id) > 4094) throw wrong(`vlan id must be between 1-4094, received: ${id}`);
  return { base, id: Number(id) };
}
