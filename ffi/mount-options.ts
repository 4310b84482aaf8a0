/** The options of a mount in config.json, or of a volume: flags, attributes, propagation, and what the file system itself reads. */
import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_RELATIME,
  MOUNT_ATTR_STRICTATIME,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from "./constants/mount.ts";

export interface AttributeChange {
  /** MOUNT_ATTR_*. */
  set: number;
  clear: number;
}

export interface MountOptions {
  bind: boolean;
  /** rbind: with what is mounted below the source. */
  recursive: boolean;
  remount: boolean;
  /** Of the mount alone. */
  attributes: AttributeChange;
  /** Of the mount and all below it. */
  recursiveAttributes: AttributeChange;
  /** Applied one after the other. */
  propagation: { type: number; recursive: boolean }[];
  /** `ro` was asked for, and not taken back by `rw`. */
  readonly: boolean;
  /** For the file system: `mode=755` is a pair, `newinstance` stands alone. */
  data: [key: string, value: string | undefined][];
  /** tmpcopyup: a tmpfs begins with what the directory has that it covers. */
  copyUp: boolean;
  /** idmap, ridmap (of the mounts below, too), or `idmap=` with crun's mappings. */
  idMap: { recursive: boolean; text?: string } | undefined;
  /** Options that tsd knows of and does not have. */
  unsupported: string[];
}

type Change = { set?: number; clear?: number };

/** mount(8), "Filesystem-independent mount options", and the specification's table of Linux mount options. */
const attributeChanges: Readonly<Record<string, Change>> = {
  ro: { set: MOUNT_ATTR_RDONLY },
  rw: { clear: MOUNT_ATTR_RDONLY },
  nosuid: { set: MOUNT_ATTR_NOSUID },
  suid: { clear: MOUNT_ATTR_NOSUID },
  nodev: { set: MOUNT_ATTR_NODEV },
  dev: { clear: MOUNT_ATTR_NODEV },
  noexec: { set: MOUNT_ATTR_NOEXEC },
  exec: { clear: MOUNT_ATTR_NOEXEC },
  nodiratime: { set: MOUNT_ATTR_NODIRATIME },
  diratime: { clear: MOUNT_ATTR_NODIRATIME },
  nosymfollow: { set: MOUNT_ATTR_NOSYMFOLLOW },
  symfollow: { clear: MOUNT_ATTR_NOSYMFOLLOW },
  // One field of three values: whatever sets one clears the others (mount_setattr(2)).
  relatime: { set: MOUNT_ATTR_RELATIME, clear: MOUNT_ATTR__ATIME },
  norelatime: { set: MOUNT_ATTR_STRICTATIME, clear: MOUNT_ATTR__ATIME },
  noatime: { set: MOUNT_ATTR_NOATIME, clear: MOUNT_ATTR__ATIME },
  atime: { set: MOUNT_ATTR_RELATIME, clear: MOUNT_ATTR__ATIME },
  strictatime: { set: MOUNT_ATTR_STRICTATIME, clear: MOUNT_ATTR__ATIME },
  nostrictatime: { set: MOUNT_ATTR_RELATIME, clear: MOUNT_ATTR__ATIME },
};

const propagations: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  shared: MS_SHARED,
  slave: MS_SLAVE,
  unbindable: MS_UNBINDABLE,
};

/** Flags of the superblock: the new mount API takes them as parameters of the file system, by these names. */
const superblockFlags: Readonly<Record<string, string | undefined>> = {
  sync: "sync",
  dirsync: "dirsync",
  lazytime: "lazytime",
  mand: "mand",
  iversion: "iversion",
  acl: "posixacl",
  // What is off from the start, and what only mount(8) heeds.
  async: undefined,
  nolazytime: undefined,
  nomand: undefined,
  noiversion: undefined,
  noacl: undefined,
  defaults: undefined,
  silent: undefined,
  loud: undefined,
};

/** The options that are not handed to the file system. */
export function mountOptionNames(): string[] {
  const recursive = [...Object.keys(attributeChanges), ...Object.keys(propagations)];
  const names = ["bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap", ...Object.keys(superblockFlags)];
  return [...names, ...recursive, ...recursive.map((name) => `r${name}`)];
}

const unsupportedOptions = new Set(["copy-symlink", "src-nofollow", "dest-nofollow"]);

export function parseMountOptions(type: string | undefined, options: readonly string[]): MountOptions {
  const parsed: MountOptions = {
    bind: type === "bind" || type === "rbind",
    recursive: type === "rbind",
    remount: false,
    attributes: { set: 0, clear: 0 },
    recursiveAttributes: { set: 0, clear: 0 },
    propagation: [],
    readonly: false,
    data: [],
    copyUp: false,
    idMap: undefined,
    unsupported: [],
  };
  for (const option of options) addOption(parsed, option);
  return parsed;
}

function addOption(parsed: MountOptions, option: string): void {
  if (option === "bind" || option === "rbind") {
    parsed.bind = true;
    parsed.recursive ||= option === "rbind";
  } else if (option === "remount") {
    parsed.remount = true;
  } else if (option === "tmpcopyup") {
    parsed.copyUp = true;
  } else if (Object.hasOwn(attributeChanges, option)) {
    if (option === "ro" || option === "rw") parsed.readonly = option === "ro";
    change(parsed.attributes, attributeChanges[option]!);
  } else if (Object.hasOwn(propagations, option)) {
    parsed.propagation.push({ type: propagations[option]!, recursive: false });
  } else if (option.startsWith("r") && Object.hasOwn(propagations, option.slice(1))) {
    parsed.propagation.push({ type: propagations[option.slice(1)]!, recursive: true });
  } else if (option.startsWith("r") && Object.hasOwn(attributeChanges, option.slice(1))) {
    change(parsed.recursiveAttributes, attributeChanges[option.slice(1)]!);
  } else if (Object.hasOwn(superblockFlags, option)) {
    const flag = superblockFlags[option];
    if (flag !== undefined) parsed.data.push([flag, undefined]);
  } else if (/^r?idmap(=|$)/.test(option)) {
    parsed.idMap = readIdMap(option);
  } else if (unsupportedOptions.has(option)) {
    parsed.unsupported.push(option);
  } else if (option !== "") {
    const equals = option.indexOf("=");
    parsed.data.push(equals < 0 ? [option, undefined] : [option.slice(0, equals), option.slice(equals + 1)]);
  }
}

function readIdMap(option: string): NonNullable<MountOptions["idMap"]> {
  const equals = option.indexOf("=");
  const recursive = option.startsWith("r");
  return equals < 0 ? { recursive } : { recursive, text: option.slice(equals + 1) };
}

/** A later option takes back what an earlier one said about the same attribute. */
function change(attributes: AttributeChange, { set = 0, clear = 0 }: Change): void {
  attributes.set = (attributes.set & ~clear) | set;
  // The field of access times keeps all its bits: the kernel wants them cleared whichever value is set.
  const timesBits = (clear | (set & MOUNT_ATTR__ATIME)) & MOUNT_ATTR__ATIME;
  attributes.clear = (attributes.clear & ~set) | (clear & ~set) | (timesBits === 0 ? 0 : MOUNT_ATTR__ATIME);
}
