/** `--blkio-weight-device`, `--device-read-bps` and their like: a block device and a number, as docker reads them. */
import type { ThrottleDevice, WeightDevice } from "../api/schema/container-config.ts";
import { parseBytes } from "../core/size.ts";
import { type Flag, valueListFlag } from "./flags.ts";

/** `/dev/sda:500` */
export function weightDeviceFlag(help: string): Flag<WeightDevice[]> {
  return valueListFlag(help, (text) => {
    const { Path, value } = split(text);
    const Weight = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
    if (!(Weight === 0 || (Weight >= 10 && Weight <= 1000))) throw new Error(`invalid weight for device: ${text}`);
    return { Path, Weight };
  });
}

/** Bytes a second: `/dev/sda:1mb` */
export function throttleBytesFlag(help: string): Flag<ThrottleDevice[]> {
  return valueListFlag(help, (text) => {
    const { Path, value } = split(text);
    try {
      return { Path, Rate: parseBytes(value) };
    } catch (cause) {
      const format = "<device-path>:<number>[<unit>]. Number must be a positive integer";
      const units = "Unit is optional and can be kb, mb, or gb";
      throw new Error(`invalid rate for device: ${text}. The correct format is ${format}. ${units}`, { cause });
    }
  });
}

/** Operations a second: `/dev/sda:1000` */
export function throttleOperationsFlag(help: string): Flag<ThrottleDevice[]> {
  return valueListFlag(help, (text) => {
    const { Path, value } = split(text);
    if (!/^\d+$/.test(value) || !Number.isSafeInteger(Number(value))) {
      const format = "<device-path>:<number>. Number must be a positive integer";
      throw new Error(`invalid rate for device: ${text}. The correct format is ${format}`);
    }
    return { Path, Rate: Number(value) };
  });
}

function split(text: string): { Path: string; value: string } {
  const colon = text.indexOf(":");
  if (colon <= 0) throw new Error(`bad format: ${text}`);
  const Path = text.slice(0, colon);
  if (!Path.startsWith("/dev/")) throw new Error(`bad format for device path: ${text}`);
  return { Path, value: text.slice(colon + 1) };
}
