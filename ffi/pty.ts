/** Terminals: pty(7), termios(3), ioctl_tty(2). */
import { O_CLOEXEC, O_NOCTTY, O_RDWR } from "./constants/open.ts";
import { SYS } from "./constants/syscalls.ts";
import { TCGETS, TCSETSW, TIOCGPTN, TIOCGPTPEER, TIOCGWINSZ, TIOCSPTLCK, TIOCSWINSZ } from "./constants/tty.ts";
import { SyscallError } from "./errno.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { ioctl, open } from "./files.ts";
import { syscall } from "./syscall.ts";

/** sizeof(struct termios) of the kernel: four flag words, the line discipline and 19 control characters. */
const termiosBytes = 36;

export interface WindowSize {
  rows: number;
  columns: number;
}

/** A new pseudo-terminal of the devpts that is mounted at /dev/pts, unlocked. */
export function openTerminal(): { master: Fd; slave: Fd } {
  using master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  ioctl(master, "TIOCSPTLCK", TIOCSPTLCK, new Uint8Array(4));
  using slave = openSlave(master);
  return { master: master.move(), slave: slave.move() };
}

/** The other end of a master: found by the master itself, not by a path that may lead elsewhere (ioctl_tty(2)). */
export function openSlave(master: Descriptor): Fd {
  return new Fd(ioctl(master, "TIOCGPTPEER", TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

/** Whether it is the master of a pseudo-terminal. */
export function isMaster(fd: Descriptor): boolean {
  return syscall(SYS.ioctl, descriptorNumber(fd), TIOCGPTN, new Uint8Array(4)) === 0;
}

export function isTerminal(fd: Descriptor): boolean {
  return syscall(SYS.ioctl, descriptorNumber(fd), TCGETS, new Uint8Array(termiosBytes)) === 0;
}

export function windowSize(terminal: Descriptor): WindowSize {
  const size = new Uint16Array(4);
  ioctl(terminal, "TIOCGWINSZ", TIOCGWINSZ, new Uint8Array(size.buffer));
  return { rows: size[0]!, columns: size[1]! };
}

/** Sets a terminal's size; its foreground process group gets SIGWINCH when that is a change. */
export function setWindowSize(terminal: Descriptor, size: WindowSize): void {
  const fields = new Uint16Array([size.rows, size.columns, 0, 0]);
  ioctl(terminal, "TIOCSWINSZ", TIOCSWINSZ, new Uint8Array(fields.buffer));
}

/** The terminal's attributes as the kernel has them, to be given back to it. */
export function terminalAttributes(terminal: Descriptor): Uint8Array {
  const attributes = new Uint8Array(termiosBytes);
  ioctl(terminal, "TCGETS", TCGETS, attributes);
  return attributes;
}

/** Sets attributes once all output has been sent. */
export function setTerminalAttributes(terminal: Descriptor, attributes: Uint8Array): void {
  ioctl(terminal, "TCSETSW", TCSETSW, attributes);
}

const ICRNL = 0o400;
const IGNBRK = 0o1;
const BRKINT = 0o2;
const PARMRK = 0o10;
const ISTRIP = 0o40;
const INLCR = 0o100;
const IGNCR = 0o200;
const IXON = 0o2000;
const OPOST = 0o1;
const CSIZE = 0o60;
const CS8 = 0o60;
const PARENB = 0o400;
const ISIG = 0o1;
const ICANON = 0o2;
const ECHO = 0o10;
const ECHONL = 0o100;
const IEXTEN = 0o100000;
const VTIME = 5;
const VMIN = 6;
const controlCharactersAt = 17;

/**
 * Raw mode, cfmakeraw(3): every byte passes as it is, for another terminal behind this one does the work.
 * @returns what gives the terminal its former attributes back.
 */
export function makeRaw(terminal: Descriptor): Disposable {
  const former = terminalAttributes(terminal);
  const raw = former.slice();
  const flags = new DataView(raw.buffer);
  const change = (at: number, clear: number, set = 0) =>
    flags.setUint32(at, (flags.getUint32(at, true) & ~clear) | set, true);
  change(0, IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  change(4, OPOST);
  change(8, CSIZE | PARENB, CS8);
  change(12, ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  raw[controlCharactersAt + VMIN] = 1;
  raw[controlCharactersAt + VTIME] = 0;
  setTerminalAttributes(terminal, raw);
  const dispose = () => {
    try {
      setTerminalAttributes(terminal, former);
    } catch (error) {
      // EIO: it has hung up meanwhile. Nobody is left who could see its attributes.
      if (!(error instanceof SyscallError && error.errno === "EIO")) throw error;
    }
  };
  return { [Symbol.dispose]: dispose };
}
