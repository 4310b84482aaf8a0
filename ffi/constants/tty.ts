/** ioctl_tty(2): include/uapi/asm-generic/ioctls.h. */
import type { ConstantNames } from "./names.ts";

export const TCGETS = 0x5401;
export const TCSETS = 0x5402;
export const TCSETSW = 0x5403;
export const TIOCSCTTY = 0x540e;
export const TIOCSPGRP = 0x5410;
export const TIOCGWINSZ = 0x5413;
export const TIOCSWINSZ = 0x5414;
export const TIOCNOTTY = 0x5422;
export const TIOCGPTN = 0x80045430;
export const TIOCSPTLCK = 0x40045431;
export const TIOCGPTPEER = 0x5441;
export const ttyRequests: ConstantNames = {
  TCGETS,
  TCSETS,
  TCSETSW,
  TIOCSCTTY,
  TIOCSPGRP,
  TIOCGWINSZ,
  TIOCSWINSZ,
  TIOCNOTTY,
  TIOCGPTN,
  TIOCSPTLCK,
  TIOCGPTPEER,
};
