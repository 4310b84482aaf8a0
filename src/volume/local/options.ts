/** The options of a local volume, in docker's words: what is mounted where its files are to be. */
import { type MountOptions, parseMountOptions } from "../../../ffi/mount-options.ts";
import { EngineError } from "../../core/errors.ts";
import { parseBytes } from "../../core/size.ts";

/** As mount(8) has them. */
export interface LocalMount {
  /** Of the file system; without a meaning for a bind. */
  type: string;
  device: string;
  /** `o`: with commas in between. */
  options: string;
}

export interface LocalOptions {
  /** Absent: the volume is a directory. */
  mount?: LocalMount;
  /** Of what the volume may hold; absent: no limit. */
  sizeBytes?: number;
}

const known = ["type", "o", "device", "size"];
/** One makes no sense without the others. */
const companions = { device: ["type"], type: ["device"], o: ["device", "type"] } as const;

/** @throws EngineError invalid_argument in docker's words. */
export function parseLocalOptions(options: Record<string, string>): LocalOptions {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new EngineError("invalid_argument", `invalid option: "${name}"`);
  }
  for (const [name, required] of Object.entries(companions)) {
    const missing = options[name] === undefined ? undefined : required.find((other) => options[other] === undefined);
    if (missing !== undefined) throw new EngineError("invalid_argument", `missing required option: "${missing}"`);
  }
  const { type, device, o = "", size } = options;
  const sizeBytes = size === undefined ? 0 : parseBytes(size);
  const mount = type || device ? { type: type!, device: device!, options: o } : undefined;
  if (mount !== undefined) parseOptions(mount);
  if (mount !== undefined && sizeBytes > 0) {
    throw new EngineError(
      "invalid_argument",
      `option "size" is for volumes without a type: a ${type} has its own options`,
      {
        hint: "those of a file system go into o: for a tmpfs o=size=SIZE",
      },
    );
  }
  return { ...(mount && { mount }), ...(sizeBytes > 0 && { sizeBytes }) };
}

/** @throws EngineError invalid_argument for an option that only a container's mount can have. */
export function parseOptions({ options }: LocalMount): MountOptions {
  const parsed = parseMountOptions(undefined, options.split(","));
  const foreign = parsed.unsupported[0] ?? (parsed.copyUp ? "tmpcopyup" : parsed.idMap && "idmap");
  const wrong = foreign ?? (parsed.remount ? "remount" : undefined);
  if (wrong !== undefined) throw new EngineError("invalid_argument", `invalid mount option "${wrong}" for a volume`);
  return parsed;
}
