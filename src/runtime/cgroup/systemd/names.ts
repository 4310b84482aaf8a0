/** What cgroupsPath means with --systemd-cgroup: a slice, a prefix and a name. systemd.unit(5), systemd.slice(5). */
import { EngineError } from "../../../core/errors.ts";

/** Where a container's unit is among systemd's. */
export interface UnitPlace {
  /** `prefix-name.scope`, or a slice. */
  unit: string;
  /** The slice that it is in. */
  slice: string;
  /** Of its cgroup, below the manager's own; begins with "/". */
  path: string;
}

const field = "linux.cgroupsPath";
/** UNIT_NAME_MAX, without the NUL. */
const unitNameLengthMax = 255;
const defaultPrefix = "runc";

/**
 * Reads `slice:prefix:name`. Without a path it is runc's default: `runc-ID.scope` in the default slice; an empty part
 * stands for its default too.
 * @throws EngineError invalid_argument.
 */
export function placeUnit(cgroupsPath: string | undefined, id: string, defaultSlice: string): UnitPlace {
  const parts = cgroupsPath ? cgroupsPath.split(":") : ["", defaultPrefix, id];
  if (parts.length !== 3) {
    const hint = 'with --systemd-cgroup it is such as "system.slice:prefix:name"; without the flag it is a path';
    throw wrong(`"${cgroupsPath}" is not of the form "slice:prefix:name"`, hint);
  }
  const slice = parts[0] || defaultSlice;
  const prefix = parts[1]!;
  const name = parts[2] || id;
  const parent = expandSlice(slice);
  if (!name.endsWith(".slice")) {
    const unit = `${prefix === "" ? "" : `${prefix}-`}${name}.scope`;
    checkUnitName(unit);
    return { unit, slice, path: `${parent}/${unit}` };
  }
  checkUnitName(name);
  // A slice's own name says where it is, and systemd does not look at anything else.
  const path = expandSlice(name);
  if (path !== `${parent}/${name}`) {
    const above = path.slice(0, path.lastIndexOf("/")) || "/";
    const hint = `a slice in ${slice} is named "${slice === "-.slice" ? "" : `${slice.slice(0, -".slice".length)}-`}NAME.slice"`;
    throw wrong(`the slice ${name} lies in ${above}, not in ${slice}`, hint);
  }
  return { unit: name, slice, path };
}

/**
 * The path of a slice's cgroup: `a-b.slice` is /a.slice/a-b.slice, and `-.slice` the root, "".
 * @throws EngineError invalid_argument.
 */
export function expandSlice(slice: string): string {
  if (!slice.endsWith(".slice")) throw wrong(`the slice "${slice}" does not end in ".slice"`);
  const name = slice.slice(0, -".slice".length);
  if (name === "-") return "";
  const parts = name.split("-");
  if (parts.includes("")) throw wrong(`"${slice}" is no name of a slice: a part between its dashes is empty`);
  checkUnitName(slice);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}

function checkUnitName(unit: string): void {
  if (/^[\w:.\\@-]+$/.test(unit) && unit.length <= unitNameLengthMax) return;
  const hint = "units have letters, digits and the characters : - _ . \\ @ in their names";
  throw wrong(`"${unit}" is no name of a unit`, unit.length > unitNameLengthMax ? "255 characters at most" : hint);
}

function wrong(reason: string, hint?: string): EngineError {
  return new EngineError("invalid_argument", `${field}: ${reason}`, { ...(hint !== undefined && { hint }) });
}
