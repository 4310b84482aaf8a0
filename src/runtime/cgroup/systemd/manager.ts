/** systemd's manager of units, the system's or a user's: org.freedesktop.systemd1(5). */
import { DbusConnection, DbusError } from "../../../core/dbus/connection.ts";
import { type DbusValue, Variant } from "../../../core/dbus/types.ts";
import { EngineError, type ErrorCode, errorMessage } from "../../../core/errors.ts";
import type { Property } from "./properties.ts";
import { connectSocket, formatAddress, parseAddresses, type SocketAddress } from "./socket.ts";

export type ManagerKind = "system" | "user";

/** How long a unit may take to start or stop. runc waits as long. */
const jobTimeoutMs = 30_000;

const systemd = "org.freedesktop.systemd1";
const path = "/org/freedesktop/systemd1";

interface Candidate {
  address: SocketAddress;
  isBus: boolean;
}

/** Names of errors that mean more than "it failed". Others are reported as they are. */
const codes: Readonly<Record<string, ErrorCode>> = {
  [`${systemd}.UnitExists`]: "already_exists",
  [`${systemd}.NoSuchUnit`]: "not_found",
  // The kernel's answers, as sd-bus passes them on.
  "System.Error.EBUSY": "conflict",
  "System.Error.EOPNOTSUPP": "conflict",
  "org.freedesktop.DBus.Error.AccessDenied": "forbidden",
  "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": "forbidden",
  "org.freedesktop.DBus.Error.InvalidArgs": "invalid_argument",
  "org.freedesktop.DBus.Error.PropertyReadOnly": "invalid_argument",
  "org.freedesktop.DBus.Error.UnknownProperty": "unsupported",
};

export class SystemdManager implements Disposable {
  readonly #connection: DbusConnection;
  /** On a bus there are others; on systemd's own socket nobody but it. */
  readonly #destination: { destination?: string };

  private constructor(connection: DbusConnection, isBus: boolean) {
    this.#connection = connection;
    this.#destination = isBus ? { destination: systemd } : {};
    // Before any job is asked for, so that its end is not missed. The private socket tells everything unasked.
    if (isBus) connection.addMatch(`type='signal',interface='${systemd}.Manager',member='JobRemoved'`);
  }

  /**
   * Connects by the bus, or to systemd's own socket where there is none.
   * @throws EngineError unavailable that names every place that was tried, and why it failed.
   */
  static connect(kind: ManagerKind): SystemdManager {
    const reasons: string[] = [];
    for (const { address, isBus } of candidates(kind)) {
      const name = formatAddress(address);
      try {
        return new SystemdManager(DbusConnection.open(connectSocket(address), name, { isBus }), isBus);
      } catch (error) {
        const reason = errorMessage(error);
        reasons.push(reason.includes(name) ? reason : `${name}: ${reason}`);
      }
    }
    const who = kind === "user" ? "this user's systemd" : "systemd";
    const hint = kind === "user" ? "it runs where XDG_RUNTIME_DIR or DBUS_SESSION_BUS_ADDRESS says" : undefined;
    const tried = reasons.join("; ") || "neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set";
    throw new EngineError("unavailable", `cannot reach ${who}: ${tried}`, { ...(hint !== undefined && { hint }) });
  }

  /** The number in front of what may be `252.38-1~deb12u1`. */
  version(): number {
    const version = Number.parseInt(String(this.#get("Version")).replace(/^\D*/, ""), 10);
    return Number.isNaN(version) ? 0 : version;
  }

  /** The cgroup that all units are in, from the mount point: "" for the system's on an ordinary host. */
  controlGroup(): string {
    const group = this.#get("ControlGroup");
    return typeof group === "string" ? group.replace(/\/init\.scope$/, "").replace(/\/$/, "") : "";
  }

  #get(name: string, of = `${systemd}.Manager`, object = path): DbusValue | undefined {
    const body = [of, name];
    const call = { path: object, interface: "org.freedesktop.DBus.Properties", member: "Get", signature: "ss", body };
    const [value] = this.#translate(`read ${name}`, () => this.#connection.call({ ...this.#destination, ...call }));
    return value instanceof Variant ? value.value : undefined;
  }

  /**
   * Makes a unit and waits until it is up. One of that name that has failed is forgotten first.
   * @throws EngineError already_exists when there is such a unit.
   */
  start(unit: string, properties: readonly Property[]): void {
    const start = (): string => {
      const body: DbusValue[] = [unit, "replace", [...properties], []];
      return this.#manager(`start ${unit}`, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)[0] as string;
    };
    let job: string;
    try {
      job = start();
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "already_exists") throw error;
      this.resetFailed(unit);
      job = start();
    }
    try {
      this.#await(job, `start ${unit}`);
    } catch (error) {
      this.resetFailed(unit);
      throw error;
    }
  }

  /** Whether there is a unit of that name, but for one that has failed: what `start` would stumble over. */
  isTaken(unit: string): boolean {
    try {
      const [object] = this.#manager(`look for ${unit}`, "GetUnit", "s", [unit]);
      const state = this.#get("ActiveState", `${systemd}.Unit`, object as string);
      return state !== "failed" && state !== "inactive";
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "not_found") throw error;
      return false;
    }
  }

  /** Stops a unit and waits for its end; there may be none. */
  stop(unit: string): void {
    try {
      const [job] = this.#manager(`stop ${unit}`, "StopUnit", "ss", [unit, "replace"]);
      this.#await(job as string, `stop ${unit}`);
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "not_found") throw error;
    }
    this.resetFailed(unit);
  }

  /** Forgets that a unit has failed, which keeps it from being made again. There may be none. */
  resetFailed(unit: string): void {
    try {
      this.#manager(`forget ${unit}`, "ResetFailedUnit", "s", [unit]);
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "not_found") throw error;
    }
  }

  /** Changes a unit until the next boot. */
  setProperties(unit: string, properties: readonly Property[]): void {
    const body: DbusValue[] = [unit, true, [...properties]];
    this.#manager(`change ${unit}`, "SetUnitProperties", "sba(sv)", body);
  }

  /** Moves processes into a unit's cgroup, or one below it. For who may not write to both cgroups' files. */
  attach(unit: string, below: string, pids: readonly number[]): void {
    this.#manager(`attach process ${pids.join(", ")} to ${unit}`, "AttachProcessesToUnit", "ssau", [
      unit,
      below === "/" ? "" : below,
      [...pids],
    ]);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  #manager(doing: string, member: string, signature: string, body: DbusValue[]): DbusValue[] {
    const call = { path, interface: `${systemd}.Manager`, member, signature, body };
    return this.#translate(doing, () => this.#connection.call({ ...this.#destination, ...call }));
  }

  #translate<T>(doing: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof DbusError)) throw error;
      const code = codes[error.errorName] ?? "internal";
      throw new EngineError(code, `systemd: ${doing}: ${error.message} (${error.errorName})`, { cause: error });
    }
  }

  /** JobRemoved: number, path, unit and result of the job. */
  #await(job: string, doing: string): void {
    const signal = this.#connection.waitForSignal(`systemd to ${doing}`, jobTimeoutMs, (message) => {
      return message.member === "JobRemoved" && message.body[1] === job;
    });
    const result = String(signal.body[3]);
    // "skipped": somebody has stopped it already.
    if (result === "done" || result === "skipped") return;
    const code = result === "timeout" ? "timeout" : "internal";
    throw new EngineError(code, `systemd: ${doing}: its job ended with "${result}"`);
  }
}

function candidates(kind: ManagerKind): Candidate[] {
  const { DBUS_SYSTEM_BUS_ADDRESS: system, DBUS_SESSION_BUS_ADDRESS: session } = process.env;
  const buses = (text: string): Candidate[] => parseAddresses(text).map((address) => ({ address, isBus: true }));
  if (kind === "system") {
    const own = { address: { path: "/run/systemd/private" }, isBus: false };
    const all = buses(system || "unix:path=/run/dbus/system_bus_socket");
    return process.geteuid?.() === 0 ? [...all, own] : all;
  }
  const directory = process.env.XDG_RUNTIME_DIR || `/run/user/${process.geteuid?.()}`;
  return [
    ...(session ? buses(session) : [{ address: { path: `${directory}/bus` }, isBus: true }]),
    { address: { path: `${directory}/systemd/private` }, isBus: false },
  ];
}
