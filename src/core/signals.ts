import { EngineError } from "./errors.ts";

/** Linux signal numbers on x86-64 and aarch64, signal(7). Real-time signals are written RTMIN+n and RTMAX-n. */
export const signalNumbers: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  IOT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  POLL: 29,
  PWR: 30,
  SYS: 31,
};

/** glibc's SIGRTMIN: 32 and 33 belong to its threads. */
const rtMin = 34;
const rtMax = 64;

/**
 * A signal number from `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+1`.
 * @throws EngineError invalid_argument, in docker's words.
 */
export function parseSignal(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : signalByName(text.toUpperCase().replace(/^SIG/, ""));
  if (number === undefined || number < 1 || number > rtMax) {
    throw new EngineError("invalid_argument", `invalid signal: ${text}`);
  }
  return number;
}

function signalByName(name: string): number | undefined {
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (!realTime) return signalNumbers[name];
  const base = realTime[1] === "MIN" ? rtMin : rtMax;
  const offset = Number(realTime[3] ?? 0) * (realTime[2] === "-" ? -1 : 1);
  const number = base + offset;
  return number >= rtMin && number <= rtMax ? number : undefined;
}

/** `SIGTERM` for 15; `SIGRTMIN+3` for real-time signals. */
export function signalName(number: number): string {
  for (const [name, value] of Object.entries(signalNumbers)) if (value === number) return `SIG${name}`;
  return number >= rtMin && number <= rtMax ? `SIGRTMIN+${number - rtMin}` : `signal ${number}`;
}
