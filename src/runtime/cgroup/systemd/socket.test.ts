/** Against the reference implementation's daemon, started for the test alone. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DbusConnection, DbusError } from "../../../core/dbus/connection.ts";
import { Variant } from "../../../core/dbus/types.ts";
import { connectSocket, formatAddress, parseAddresses } from "./socket.ts";

const directory = mkdtempSync("/var/tmp/tsd-dbus-");
const abstract = `tsd-test-${process.pid}`;
const socket = join(directory, "bus");
let daemon: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;

const configuration = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=${socket}</listen>
  <listen>unix:abstract=${abstract}</listen>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
    <allow receive_type="method_call"/><allow receive_type="signal"/><allow eavesdrop="true"/>
  </policy>
</busconfig>`;

const hasDaemon = Bun.which("dbus-daemon") !== null && Bun.which("dbus-send") !== null;

beforeAll(async () => {
  if (!hasDaemon) return;
  const path = join(directory, "bus.conf");
  writeFileSync(path, configuration);
  daemon = Bun.spawn(["dbus-daemon", "--config-file", path, "--nofork", "--nopidfile", "--print-address=1"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  // It prints its address once it listens.
  await daemon.stdout.getReader().read();
});
afterAll(async () => {
  daemon?.kill();
  await daemon?.exited;
  rmSync(directory, { recursive: true });
});

function connect(): DbusConnection {
  return DbusConnection.open(connectSocket({ path: socket }), socket, { isBus: true });
}

const bus = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

describe.skipIf(!hasDaemon)("with dbus-daemon, a connection", () => {
  test("calls methods, at a path and at an abstract name", () => {
    using first = connect();
    const [names] = first.call({ ...bus, member: "ListNames" });
    expect(names).toContain("org.freedesktop.DBus");
    using second = DbusConnection.open(connectSocket({ abstract }), "abstract", { isBus: true });
    const [id] = second.call({ ...bus, member: "GetId" });
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    const [uid] = second.call({
      ...bus,
      member: "GetConnectionUnixUser",
      signature: "s",
      body: [(names as string[])[1]!],
    });
    expect(uid).toBe(process.getuid!());
  });

  test("sends values of every type that the daemon, which checks every byte, lets pass", () => {
    using connection = connect();
    const body = [
      ...[1, true, -2, 3, -4, 5, -6n, 7n, 0.5, "ü", "/p", "a{sv}"],
      new Map([["k", new Variant("a(sasbttuii)", [["x", ["y"], true, 1n, 2n, 3, 4, 5]])]]),
      [[[1, 2n]], Uint8Array.of(1, 2, 3)],
      [],
    ];
    // A message that it finds fault with makes it close the connection, without a word.
    const call = { path: "/x", interface: "x.Y", member: "Z", signature: "ybnqiuxtdsoga{sv}(a(yt)ay)ax", body };
    expect(() => connection.call({ destination: "no.such.Name", ...call })).toThrow("no.such.Name was not provided");
    expect(connection.call({ ...bus, member: "ListNames" })).toHaveLength(1);
  });

  test("reads what another implementation wrote, in signals that it asked for", async () => {
    using connection = connect();
    connection.addMatch("type='signal',interface='org.tsd.Test'");
    const words = ["byte:7", "int16:-2", "uint32:3", "int64:-4", "double:0.5", "boolean:true", "string:ü"];
    const more = ["objpath:/a/b", "array:string:x,y", "dict:string:int32:one,1,two,2", "variant:uint64:5"];
    const address = `--bus=unix:path=${socket}`;
    for (const member of ["Other", "Wanted"]) {
      const sender = Bun.spawn([
        "dbus-send",
        address,
        "--type=signal",
        "/t",
        `org.tsd.Test.${member}`,
        ...words,
        ...more,
      ]);
      expect(await sender.exited).toBe(0);
    }
    const signal = connection.waitForSignal("the signal", 5000, ({ member }) => member === "Wanted");
    const dictionary = new Map([["one", 1] as const, ["two", 2] as const]);
    const rest = ["/a/b", ["x", "y"], dictionary, new Variant("t", 5n)];
    expect(signal.body).toEqual([7, -2, 3, -4n, 0.5, true, "ü", ...rest]);
    expect(signal).toMatchObject({ path: "/t", interface: "org.tsd.Test" });
  });

  test("has the error's name, and a time limit for what never comes", () => {
    using connection = connect();
    const unknown = { ...bus, member: "NoSuchMethod" };
    let thrown: unknown;
    try {
      connection.call(unknown);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(DbusError);
    expect((thrown as DbusError).errorName).toBe("org.freedesktop.DBus.Error.UnknownMethod");
    expect(() => connection.waitForSignal("a signal", 50, () => false)).toThrow("no answer in time: a signal");
  });
});

describe("addresses", () => {
  test("are read as D-Bus writes them, and what is no socket here is passed over", () => {
    const text = "tcp:host=x,port=1;unix:path=/run/a%20b,guid=12;unix:abstract=/tmp/y;unix:dir=/tmp";
    expect(parseAddresses(text).map(formatAddress)).toEqual(["/run/a b", "@/tmp/y"]);
    expect(parseAddresses("")).toEqual([]);
  });
});
