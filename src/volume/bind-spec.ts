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
  /** `rprivate` unless said. */
  propagation: string;
  /** The options as they were written: what inspect shows. */
  mode: string;
}

const propagations = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);
/** Consistency is for file sharing into virtual machines; on Linux docker accepts and ignores it. */
const consistencies = new Set(["consistent", "cached", "delegated", "default"]);

const volumeNamePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** @throws EngineError invalid_argument in docker's words. */
export function parseVolumeName(name: string): string {
  if (name.length === 1) {
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
 * @throws EngineError invalid_argument, naming the specification; unsupported for SELinux labels, which this
 * version does not set.
 */
export function parseBind(text: string): BindSpec {
  const parts = text.split(":");
  const invalid = (reason = "") =>
    new EngineError("invalid_argument", `invalid volume specification: '${text}'${reason}`);
  if (parts.length > 3 || parts.some((part) => part === "")) throw invalid();
  if (parts.length === 1) return { target: parseTarget(parts[0]!), ...defaults };
  const [source, target, mode = ""] = parts as [string, string, string?];
  const options = parseMode(mode, text);
  const settled = { target: parseTarget(target), mode, ...options };
  if (source.startsWith("/")) {
    if (options.noCopy) throw invalid(": invalid mode: nocopy");
    return { ...settled, source: { kind: "path", path: normalizePath(source) } };
  }
  if (mode.split(",").some((option) => propagations.has(option))) throw invalid(`: invalid mode: ${mode}`);
  return { ...settled, source: { kind: "volume", name: parseVolumeName(source) } };
}

/** An absolute path inside the container, without a trailing slash and `..`. */
export function parseTarget(target: string): string {
  if (!target.startsWith("/")) {
    throw new EngineError("invalid_argument", `invalid mount path: '${target}' mount path must be absolute`);
  }
  const path = normalizePath(target);
  if (path === "/") throw new EngineError("invalid_argument", "invalid specification: destination can't be '/'");
  return path;
}

const unchanged = { readOnly: false, noCopy: false, idMapped: false, propagation: "rprivate" };
const defaults = { ...unchanged, mode: "" };

function parseMode(mode: string, spec: string): typeof unchanged {
  const parsed = { ...unchanged };
  const seen = new Set<string>();
  const once = (kind: string) => {
    if (seen.has(kind)) throw new EngineError("invalid_argument", `invalid mode: ${mode}`);
    seen.add(kind);
  };
  for (const option of mode === "" ? [] : mode.split(",")) {
    if (option === "ro" || option === "rw") {
      once("access");
      parsed.readOnly = option === "ro";
    } else if (option === "nocopy") {
      once("copy");
      parsed.noCopy = true;
    } else if (option === "idmap") {
      once("idmap");
      parsed.idMapped = true;
    } else if (propagations.has(option)) {
      once("propagation");
      parsed.propagation = option;
    } else if (consistencies.has(option)) {
      once("consistency");
    } else if (option === "z" || option === "Z") {
      throw new EngineError(
        "unsupported",
        `volume specification '${spec}': SELinux relabelling (${option}) is not built`,
      );
    } else {
      throw new EngineError("invalid_argument", `invalid mode: ${option}`);
    }
  }
  return parsed;
}

function normalizePath(path: string): string {
  const clean = normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}
