/** `--mount type=bind,src=/here,dst=/there,…`: the long syntax of mounts, as docker's command line reads it. */

import { resolve } from "../../ffi/path.ts";
import type { IdMapping, Mount } from "../api/schema/container-config.ts";
import { parseGoBool } from "../core/go-bool.ts";
import { parseBytes } from "../core/size.ts";
import { csvFields } from "./csv.ts";
import type { Flag } from "./flags.ts";

export function mountFlag(help: string): Flag<Mount[]> {
  return {
    help,
    valueName: "mount",
    isBoolean: false,
    initial: [],
    read: (text, previous) => [...previous, parseMountFlag(text)],
  };
}

/** The type is any word here: the daemon knows which there are. */
type Draft = Mount & Required<Pick<Mount, "Type">>;

/** What may stand without a value: true. */
const booleans = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"]);

/** @throws Error in docker's words; what the mount means is left to the daemon to judge. */
export function parseMountFlag(text: string): Mount {
  // In Go's words, which for docker's an empty line of values is the end of.
  if (text === "") throw new Error("EOF");
  const mount: Draft = { Type: "volume" };
  for (const field of csvFields(text)) setField(mount, field);
  check(mount);
  return mount;
}

function setField(mount: Draft, field: string): void {
  const equals = field.indexOf("=");
  const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
  const value = equals < 0 ? undefined : field.slice(equals + 1);
  if (value === undefined && !booleans.has(key) && key !== "bind-idmap") {
    throw new Error(`invalid field '${field}' must be a key=value pair`);
  }
  const set = setters.get(key);
  if (set === undefined) throw new Error(`unexpected key '${key}' in '${field}'`);
  set(mount, value ?? "true", key);
}

type SetField = (mount: Draft, value: string, key: string) => void;

const setSource: SetField = (mount, value) => {
  mount.Source = value.startsWith(".") ? resolve(value) : value;
};
const setTarget: SetField = (mount, value) => {
  mount.Target = value;
};
const setReadOnly: SetField = (mount, value, key) => {
  mount.ReadOnly = parseBool(value, key);
};

const common: Record<string, SetField> = {
  type: (mount, value) => {
    mount.Type = value.toLowerCase();
  },
  source: setSource,
  src: setSource,
  target: setTarget,
  dst: setTarget,
  destination: setTarget,
  readonly: setReadOnly,
  ro: setReadOnly,
  consistency: (mount, value) => {
    mount.Consistency = value.toLowerCase();
  },
};

const kindOptions: Record<string, SetField> = {
  "bind-propagation": (mount, value) => {
    bindOptions(mount).Propagation = value.toLowerCase();
  },
  "bind-nonrecursive": (mount, value, key) => {
    bindOptions(mount).NonRecursive = parseBool(value, key);
  },
  "bind-recursive": setRecursion,
  "bind-create-src": (mount, value, key) => {
    bindOptions(mount).CreateMountpoint = parseBool(value, key);
  },
  "bind-idmap": (mount, value) => {
    bindOptions(mount).IDMapping = parseIdMapping(value);
  },
  "volume-nocopy": (mount, value, key) => {
    volumeOptions(mount).NoCopy = parseBool(value, key);
  },
  "volume-label": (mount, value) => {
    const options = volumeOptions(mount);
    options.Labels = { ...options.Labels, ...keyAndValue(value) };
  },
  "volume-driver": (mount, value) => {
    const options = volumeOptions(mount);
    options.DriverConfig = { ...options.DriverConfig, Name: value };
  },
  "volume-opt": (mount, value) => {
    const options = volumeOptions(mount);
    const { DriverConfig } = options;
    options.DriverConfig = { ...DriverConfig, Options: { ...DriverConfig?.Options, ...keyAndValue(value) } };
  },
  "volume-subpath": (mount, value) => {
    volumeOptions(mount).Subpath = value;
  },
  "image-subpath": (mount, value) => {
    mount.ImageOptions = { Subpath: value };
  },
  "tmpfs-size": (mount, value, key) => {
    tmpfsOptions(mount).SizeBytes = parseSize(value, key);
  },
  "tmpfs-mode": (mount, value, key) => {
    const mode = /^[0-7]+$/.test(value) ? Number.parseInt(value, 8) : Number.NaN;
    if (!(mode < 2 ** 32)) throw new Error(`invalid value for ${key}: ${value}`);
    tmpfsOptions(mount).Mode = mode;
  },
  "tmpfs-options": (mount, value) => {
    const options = tmpfsOptions(mount);
    const words = value.split(",").map((option) => (option.includes("=") ? cut(option) : [option]));
    options.Options = [...(options.Options ?? []), ...words];
  },
};

const setters = new Map(Object.entries({ ...common, ...kindOptions }));

function setRecursion(mount: Draft, value: string, key: string): void {
  switch (value) {
    case "enabled":
      break;
    case "disabled":
      bindOptions(mount).NonRecursive = true;
      break;
    case "writable":
      bindOptions(mount).ReadOnlyNonRecursive = true;
      break;
    case "readonly":
      bindOptions(mount).ReadOnlyForceRecursive = true;
      break;
    default:
      throw new Error(`invalid value for ${key}: ${value} (must be "enabled", "disabled", "writable", or "readonly")`);
  }
}

/** `match-user[:USER]` or `userns`; alone it is `match-user`, which every container can have. */
function parseIdMapping(value: string): IdMapping {
  const colon = value.indexOf(":");
  const source = colon < 0 ? value : value.slice(0, colon);
  if (source === "true") return { Source: "match-user" };
  if (source !== "match-user" && source !== "userns") {
    throw new Error(`invalid value for bind-idmap: ${value} (must be "match-user", "match-user:USER", or "userns")`);
  }
  return { Source: source, ...(colon >= 0 && { User: value.slice(colon + 1) }) };
}

function check(mount: Draft): void {
  const { Type, BindOptions, ReadOnly } = mount;
  if (Type === "") throw new Error("type is required");
  if (!mount.Target) throw new Error("target is required");
  const kinds = { volume: "VolumeOptions", image: "ImageOptions", bind: "BindOptions", tmpfs: "TmpfsOptions" } as const;
  for (const [kind, field] of Object.entries(kinds)) {
    if (Type !== kind && mount[field] !== undefined) {
      throw new Error(`cannot mix '${kind}-*' options with mount type '${Type}'`);
    }
  }
  const { ReadOnlyNonRecursive, ReadOnlyForceRecursive, Propagation } = BindOptions ?? {};
  const recursion = ReadOnlyNonRecursive ? "writable" : ReadOnlyForceRecursive ? "readonly" : undefined;
  if (recursion === undefined) return;
  const requires = (what: string) =>
    new Error(`option 'bind-recursive=${recursion}' requires '${what}' to be specified in conjunction`);
  if (!ReadOnly) throw requires("readonly");
  if (ReadOnlyForceRecursive && Propagation !== "rprivate") throw requires("bind-propagation=rprivate");
}

function bindOptions(mount: Draft): NonNullable<Mount["BindOptions"]> {
  mount.BindOptions ??= {};
  return mount.BindOptions;
}

function volumeOptions(mount: Draft): NonNullable<Mount["VolumeOptions"]> {
  mount.VolumeOptions ??= {};
  return mount.VolumeOptions;
}

function tmpfsOptions(mount: Draft): NonNullable<Mount["TmpfsOptions"]> {
  mount.TmpfsOptions ??= {};
  return mount.TmpfsOptions;
}

/** An empty key is passed over, as docker does. */
function keyAndValue(text: string): Record<string, string> {
  const [key, value] = cut(text);
  return key === "" ? {} : { [key]: value };
}

function cut(text: string): [string, string] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}

/** Go's strconv.ParseBool, without its words. */
function parseBool(value: string, key: string): boolean {
  const boolean = parseGoBool(value);
  if (boolean !== undefined) return boolean;
  throw new Error(`invalid value for ${key}: ${value}`);
}

function parseSize(value: string, key: string): number {
  try {
    return parseBytes(value);
  } catch (error) {
    throw new Error(`invalid value for ${key}: ${value}`, { cause: error });
  }
}
