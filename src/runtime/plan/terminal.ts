/** Standard streams, and the terminal that may be all three of them. */
import {
  AT_EMPTY_PATH,
  atFlags,
  F_DUPFD_CLOEXEC,
  fcntlCommands,
  O_CLOEXEC,
  O_NOCTTY,
  O_RDWR,
  openFlags,
} from "../../../ffi/constants/open.ts";
import { S_IFCHR, S_IFIFO, S_IFMT, STATX_BASIC_STATS } from "../../../ffi/constants/stat.ts";
import { TIOCGPTPEER, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ, ttyRequests } from "../../../ffi/constants/tty.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { at, bytes, constant, flags, memory, type Ref, str } from "../../../ffi/plan/values.ts";
import type { LinuxIdMapping, OciProcess } from "../../oci/runtime.ts";
import { requireNode } from "./devices.ts";
import { openInRoot } from "./emit.ts";

export interface Terminal {
  master: Ref;
  slave: Ref;
}

const request = (number: number) => constant(number, ttyRequests);

/**
 * Opens a pseudo-terminal of the container's own devpts. The slave comes from the master by TIOCGPTPEER and not by a
 * name, which would be the container's to choose.
 */
export function openTerminal(plan: PlanBuilder, root: Ref, process: OciProcess): Terminal {
  return plan.because("process.terminal", () => {
    const path = "/dev/pts/ptmx";
    const master = openInRoot(plan, root, path, O_RDWR | O_NOCTTY, { name: "master" });
    requireNode(plan, master, { type: S_IFCHR, major: 5, minor: 2 }, path);
    requireDevpts(plan, master, path);
    const unlocked = bytes(new Uint8Array(4), "0");
    plan.call("ioctl", [master, request(TIOCSPTLCK), unlocked], { what: "the terminal" });
    const bits = flags(O_RDWR | O_NOCTTY | O_CLOEXEC, openFlags);
    const slave = plan.call("ioctl", [master, request(TIOCGPTPEER), bits], { what: "the terminal", name: "slave" });
    const { height, width } = process.consoleSize ?? { height: 0, width: 0 };
    if (height > 0 || width > 0) {
      // struct winsize: rows, columns, and two sizes in pixels.
      const size = new Uint8Array(new Uint16Array([height, width, 0, 0]).buffer);
      const shown = bytes(size, `${height} rows, ${width} columns`);
      plan.call("ioctl", [slave, request(TIOCSWINSZ), shown], { why: "process.consoleSize", what: "the terminal" });
    }
    return { master, slave };
  });
}

const DEVPTS_SUPER_MAGIC = 0x1cd1;

function requireDevpts(plan: PlanBuilder, master: Ref, path: string): void {
  const fileSystem = memory(120, `file system of ${path}`);
  const EPERM = 1;
  plan.call("fstatfs", [master, fileSystem], { what: path });
  const choice = { expected: constant(DEVPTS_SUPER_MAGIC, { DEVPTS_SUPER_MAGIC }), equal: 0, different: -EPERM };
  plan.select(at(fileSystem, 0), choice, { what: `${path} is not of a devpts` });
}

/** Puts the streams in their places. They are copied out of the way first: one's place may be another's number. */
export function placeStreams(plan: PlanBuilder, terminal: Terminal | undefined): void {
  const outOfTheWay = 10;
  plan.because(terminal === undefined ? "standard streams" : "process.terminal", () => {
    const streams = ["stdin", "stdout", "stderr"].map((name) => {
      if (terminal !== undefined) return terminal.slave;
      const args = [plan.descriptor(name), constant(F_DUPFD_CLOEXEC, fcntlCommands), outOfTheWay];
      return plan.call("fcntl", args, { name, what: name });
    });
    streams.forEach((stream, index) => {
      plan.call("dup3", [stream, index, 0]);
    });
  });
}

/** A session of its own, whose controlling terminal is the process's, setsid(2). */
export function startSession(plan: PlanBuilder, terminal: Terminal | undefined): void {
  plan.call("setsid", [], { why: terminal === undefined ? "session" : "process.terminal" });
  if (terminal === undefined) return;
  plan.call("ioctl", [0, request(TIOCSCTTY), 0], { why: "process.terminal", what: "the controlling terminal" });
}

/**
 * Gives the streams to the user, who else could not open /dev/stdout and its like anew. /dev/null is everybody's, and
 * where the file system does not let them go they stay.
 */
export function ownStreams(plan: PlanBuilder, process: OciProcess): void {
  const uid = process.user?.uid ?? 0;
  if (uid === 0) return;
  const nullDevice = (3n << 32n) | 1n;
  plan.because("process.user.uid", () => {
    for (const number of [0, 1, 2]) {
      const next = plan.label(`descriptor ${number} is done`);
      const status = memory(256, `status of descriptor ${number}`);
      const args = [
        number,
        str(""),
        flags(AT_EMPTY_PATH, atFlags),
        constant(STATX_BASIC_STATS, { STATX_BASIC_STATS }),
        status,
      ];
      plan.call("statx", args, { what: `descriptor ${number}` });
      plan.select(at(status, deviceOffset), { expected: nullDevice, equal: 0, different: 1 }, { onZero: next });
      const unchanged = 0xffffffff;
      plan.call("fchown", [number, uid, unchanged], {
        what: `descriptor ${number}`,
        ignore: ["EINVAL", "EPERM", "EROFS", "ENOSYS"],
      });
      plan.place(next);
    }
  });
}

/** Of stx_rdev_major in struct statx; the minor number follows it. */
const deviceOffset = 128;

/**
 * Gives the pipes among the streams to the process's user, from outside the user namespace: inside, where their owner is
 * nobody, even root could not open /dev/stdout and its like anew. Files and terminals of the host stay whose they are.
 */
export function giveStreams(plan: PlanBuilder, { user }: OciProcess, users: readonly LinuxIdMapping[]): void {
  const id = user?.uid ?? 0;
  const map = users.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  if (map === undefined) return;
  const owner = map.hostID + id - map.containerID;
  plan.because("process.user.uid", () => {
    for (const name of ["stdin", "stdout", "stderr"]) {
      const stream = plan.descriptor(name);
      const next = plan.label(`${name} is done`);
      const status = memory(256, `status of ${name}`);
      const basic = constant(STATX_BASIC_STATS, { STATX_BASIC_STATS });
      plan.call("statx", [stream, str(""), flags(AT_EMPTY_PATH, atFlags), basic, status], { what: name });
      const isPipe = { mask: BigInt(S_IFMT), expected: BigInt(S_IFIFO), equal: 1, different: 0 };
      plan.select(at(status, modeOffset), isPipe, { onZero: next });
      const unchanged = 0xffffffff;
      plan.call("fchown", [stream, owner, unchanged], { what: name, ignore: ["EPERM", "EROFS"] });
      plan.place(next);
    }
  });
}

/** Of stx_mode in struct statx. */
const modeOffset = 28;
