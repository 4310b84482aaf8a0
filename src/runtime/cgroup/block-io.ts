/** linux.resources.blockIO: blkio in v1, io in v2. */
import type { LinuxResources } from "../../oci/runtime.ts";
import { tryWriteField, writeField } from "./files.ts";
import type { Places } from "./place.ts";

type BlockIo = NonNullable<LinuxResources["blockIO"]>;
const field = "linux.resources.blockIO";

/** Each list of throttles: v1's file, and the key in v2's io.max. */
const throttles = {
  throttleReadBpsDevice: ["blkio.throttle.read_bps_device", "rbps"],
  throttleWriteBpsDevice: ["blkio.throttle.write_bps_device", "wbps"],
  throttleReadIOPSDevice: ["blkio.throttle.read_iops_device", "riops"],
  throttleWriteIOPSDevice: ["blkio.throttle.write_iops_device", "wiops"],
} as const;

export function applyBlockIo(io: BlockIo, places: Places): void {
  const lists = ["weightDevice", ...Object.keys(throttles)] as (keyof BlockIo)[];
  const wanted = io.weight ? "weight" : io.leafWeight ? "leafWeight" : lists.find((name) => hasEntries(io[name]));
  if (wanted === undefined) return;
  const { version, directory } = places.require("blkio", `${field}.${wanted}`);
  if (version === 2) applyV2(io, directory);
  else applyV1(io, directory);
  for (const [name, [file, key]] of Object.entries(throttles)) {
    for (const [index, { major, minor, rate = 0 }] of (io[name as keyof typeof throttles] ?? []).entries()) {
      const at = `${field}.${name}[${index}]`;
      // A rate of 0 takes the limit away; v2 says "max" for that.
      if (version === 1) writeField(at, `${directory}/${file}`, `${major}:${minor} ${rate}`);
      else writeField(at, `${directory}/io.max`, `${major}:${minor} ${key}=${rate === 0 ? "max" : rate}`);
    }
  }
}

function hasEntries(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

/** The BFQ scheduler, since Linux 5.0 the only one with weights in v1, has files of its own; older kernels those of CFQ. */
function applyV1(io: BlockIo, directory: string): void {
  type File = readonly [name: string, value: string];
  const write = (name: string, cfq: File, bfq: File): void => {
    if (!tryWriteField(`${field}.${name}`, `${directory}/${cfq[0]}`, cfq[1], "ENOENT")) {
      writeField(`${field}.${name}`, `${directory}/${bfq[0]}`, bfq[1]);
    }
  };
  if (io.weight) write("weight", ["blkio.weight", String(io.weight)], ["blkio.bfq.weight", String(io.weight)]);
  if (io.leafWeight) writeField(`${field}.leafWeight`, `${directory}/blkio.leaf_weight`, String(io.leafWeight));
  for (const [index, { major, minor, weight, leafWeight }] of (io.weightDevice ?? []).entries()) {
    const at = `weightDevice[${index}]`;
    if (weight !== undefined) {
      // 0 takes the device's own weight away, as a rate of 0 does a limit.
      const value = (none: string) => `${major}:${minor} ${weight === 0 ? none : weight}`;
      write(`${at}.weight`, ["blkio.weight_device", value("0")], ["blkio.bfq.weight_device", value("default")]);
    }
    if (leafWeight) {
      const path = `${directory}/blkio.leaf_weight_device`;
      writeField(`${field}.${at}.leafWeight`, path, `${major}:${minor} ${leafWeight}`);
    }
  }
}

function applyV2(io: BlockIo, directory: string): void {
  if (io.weight) {
    const at = `${field}.weight`;
    // BFQ takes v1's range as it is; io.weight is there where another cost model is in use.
    if (!tryWriteField(at, `${directory}/io.bfq.weight`, String(io.weight), "ENOENT")) {
      writeField(at, `${directory}/io.weight`, `default ${weightOfBlkio(io.weight)}`);
    }
  }
  // There is no leafWeight: inner cgroups hold no processes. Its file is missing, and the error says so.
  if (io.leafWeight) writeField(`${field}.leafWeight`, `${directory}/io.leaf_weight`, String(io.leafWeight));
  for (const [index, { major, minor, weight, leafWeight }] of (io.weightDevice ?? []).entries()) {
    if (leafWeight) {
      const path = `${directory}/io.leaf_weight`;
      writeField(`${field}.weightDevice[${index}].leafWeight`, path, `${major}:${minor} ${leafWeight}`);
    }
    const at = `${field}.weightDevice[${index}].weight`;
    if (weight === undefined) continue;
    if (!tryWriteField(at, `${directory}/io.bfq.weight`, `${major}:${minor} ${weight || "default"}`, "ENOENT")) {
      const value = weight === 0 ? "default" : weightOfBlkio(weight);
      writeField(at, `${directory}/io.weight`, `${major}:${minor} ${value}`);
    }
  }
}

/** v1's 10 to 1000 on v2's 1 to 10000, linear as in runc. */
export function weightOfBlkio(weight: number): number {
  return Math.floor(1 + ((weight - 10) * 9999) / 990);
}
