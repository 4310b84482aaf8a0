/** The header X-Docker-Container-Path-Stat: what a path of a container stands for, as JSON in base64. */

export const pathStatHeader = "X-Docker-Container-Path-Stat";

export interface PathStatJson {
  name: string;
  size: number;
  /** Go's os.FileMode. */
  mode: number;
  /** RFC 3339. */
  mtime: string;
  linkTarget: string;
}

/** Go's os.FileMode (pkg.go.dev/io/fs#FileMode): its bits for types, and for set-id and sticky. */
export const goModes = {
  directory: 2 ** 31,
  symlink: 2 ** 27,
  device: 2 ** 26,
  namedPipe: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  charDevice: 2 ** 21,
  sticky: 2 ** 20,
} as const;

const typeMask = 0o170000;
const types: ReadonlyMap<number, number> = new Map([
  [0o040000, goModes.directory],
  [0o120000, goModes.symlink],
  [0o060000, goModes.device],
  [0o020000, goModes.device + goModes.charDevice],
  [0o010000, goModes.namedPipe],
  [0o140000, goModes.socket],
]);

/** @param mode as stat(2) has it. */
export function goFileMode(mode: number): number {
  const special =
    (mode & 0o4000 ? goModes.setuid : 0) + (mode & 0o2000 ? goModes.setgid : 0) + (mode & 0o1000 ? goModes.sticky : 0);
  return (types.get(mode & typeMask) ?? 0) + special + (mode & 0o777);
}

/** Whether a bit of goModes is set: its numbers are beyond what JavaScript's own operators take. */
export function hasGoMode(mode: number, bit: number): boolean {
  return Math.floor(mode / bit) % 2 === 1;
}
