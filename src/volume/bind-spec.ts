/** The short syntax of mounts: `source:target[:options]`, what `-v` and HostConfig.Binds are written in. */
import { normalize } from "node:path/posix";
import { EngineError } from "../core/errors.ts";

export interface BindSpec {
  /** A path of the host, or a volume by name; absent: a new anonymous volume. */
  source?: { kind: "path"; path: string } | { kind: "volume"; name: string };
  target: string;
  readOnly: boolean;
  /** Do not copy the image's content into an empty volume. */
  noCopy: boolean;
  /** podman's `idmap`: the files have the right owners inside and outside. */
  idMapped: boolean;
  /** "" unless said. */
  propagation: string;
  /** The options as they were written: what inspect shows, and what says whether SELinux' label is set (z, Z). */
  mode: string;
}

const propagations = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);
/** Consistency is for file sharing into virtual machines; on Linux docker accepts and ignores it. */
const consistencies = new Set(["consistent", "cached", "delegated"]);

const volumeNamePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export function isVolumeName(name: string): boolean {
  return name.length > 1 && volumeNamePattern.test(name);
}

/** @throws EngineError invalid_argument in docker's words. */
export function parseVolumeName(name: string): string {
  if (Buffer.byteLength(name) === 1) {
    throw new EngineError(
      "invalid_argument",
      "volume name is too short, names should be at least two alphanumeric characters",
    );
  }
  if (!volumeNamePattern.test(name)) {
    throw new EngineError(
      "invalid_argument",
      `"${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ` +
        "If you intended to pass a host directory, use absolute path",
    );
  }
  return name;
}

/**
 * A volume's name is not judged: its driver knows what names it can have.
 * @throws EngineError invalid_argument in docker's words.
 */
export function parseBind(text: string): BindSpec {
  const parts = text.split(":");
  const invalid = (reason = "") =>
    new EngineError("invalid_argument", `invalid volume specification: '${text}'${reason}`);
  const [first = "", second, third] = parts;
  if (first === "" || parts.length > 3) throw invalid();
  // `/data:ro` is no volume: a new one has no options.
  if (second !== undefined && third === undefined && isMode(second)) throw invalid();
  const mode = third ?? "";
  if (!isMode(mode)) throw new EngineError("invalid_argument", `invalid mode: ${mode}`);
  const options = parseMode(mode);
  const kind = first.startsWith("/") && second !== undefined ? "bind" : "volume";
  const misplaced = (reason: string) => invalid(`: invalid mount config for type "${kind}": ${reason}`);
  checkNul(first, misplaced);
  const target = targetOf(second ?? first, misplaced);
  const words = mode.split(",");
  if (kind === "bind") {
    if (words.includes("nocopy")) throw misplaced("field VolumeOptions must not be specified");
    return { source: { kind: "path", path: normalizePath(first) }, target, mode, ...options };
  }
  if (words.some((word) => propagations.has(word))) throw misplaced("field BindOptions must not be specified");
  return { ...(second !== undefined && { source: { kind: "volume", name: first } }), target, mode, ...options };
}

/**
 * An absolute path inside the container, without a trailing slash and `..`.
 * @param invalid makes the error of a reason, in docker's words.
 */
export function targetOf(target: string, invalid: (reason: string) => EngineError): string {
  const path = normalizePath(target);
  if (path === "/") throw invalid("invalid specification: destination can't be '/'");
  if (!target.startsWith("/")) throw invalid(`invalid mount path: '${target}' mount path must be absolute`);
  checkNul(target, invalid);
  return path;
}

/** No file has such a name, and the kernel would read the path to there only. */
export function checkNul(path: string, invalid: (reason: string) => EngineError): void {
  if (path.includes("\0")) throw invalid(`invalid mount path: ${JSON.stringify(path)} contains a NUL`);
}

/** As targetOf, with the reason alone. @throws EngineError invalid_argument in docker's words. */
export function parseTarget(target: string): string {
  return targetOf(target, (reason) => new EngineError("invalid_argument", reason));
}

/** Of these kinds of words at most one each. */
const kinds: ReadonlySet<string>[] = [
  new Set(["ro", "rw"]),
  new Set(["z", "Z"]),
  new Set(["nocopy"]),
  new Set(["idmap"]),
  propagations,
  consistencies,
];

function isMode(mode: string): boolean {
  const words = mode === "" ? [] : mode.split(",");
  if (!words.every((word) => kinds.some((kind) => kind.has(word)))) return false;
  return kinds.every((kind) => words.filter((word) => kind.has(word)).length <= 1);
}

function parseMode(mode: string): Omit<BindSpec, "source" | "target" | "mode"> {
  const words = mode.split(",");
  return {
    readOnly: words.includes("ro"),
    noCopy: words.includes("nocopy"),
    idMapped: words.includes("idmap"),
    propagation: words.find((word) => propagations.has(word)) ?? "",
  };
}

function normalizePath(path: string): string {
  const clean = normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** What the mounts of another container may be given: how they are shared and filled is settled with that one. */
export function isVolumesFromMode(mode: string): boolean {
  const isSettled = (word: string) => propagations.has(word) || word === "nocopy" || word === "idmap";
  return isMode(mode) && !mode.split(",").some(isSettled);
}
