/** Annotations `org.systemd.property.NAME`: properties of the unit, written as GVariant has them. */
import { parseVariantText } from "../../../core/dbus/text.ts";
import { Variant } from "../../../core/dbus/types.ts";
import { EngineError, errorMessage } from "../../../core/errors.ts";
import type { Property } from "./properties.ts";

const prefix = "org.systemd.property.";

/** @throws EngineError invalid_argument that names the annotation. */
export function annotationProperties(annotations: Readonly<Record<string, string>>): Property[] {
  return Object.entries(annotations).flatMap(([key, text]): Property[] => {
    if (!key.startsWith(prefix)) return [];
    const name = key.slice(prefix.length);
    if (!/^[A-Za-z]{3,}$/.test(name)) throw wrong(key, "is not the name of a property");
    let value: Variant;
    try {
      value = parseVariantText(text);
    } catch (error) {
      throw wrong(key, errorMessage(error));
    }
    // Files of units have seconds, D-Bus has microseconds: TimeoutStopSec is TimeoutStopUSec there.
    const seconds = /^(.*[a-z])Sec$/.exec(name)?.[1];
    return [seconds === undefined ? [name, value] : [`${seconds}USec`, microseconds(key, value)]];
  });
}

function microseconds(key: string, { value }: Variant): Variant {
  if (typeof value !== "number" && typeof value !== "bigint") throw wrong(key, "is not a number of seconds");
  if (value < 0) throw wrong(key, "is negative");
  const us = typeof value === "bigint" ? value * 1_000_000n : BigInt(Math.round(value * 1e6));
  if (us >= 2n ** 64n) throw wrong(key, "is too long");
  return new Variant("t", us);
}

function wrong(key: string, reason: string): EngineError {
  return new EngineError("invalid_argument", `annotations["${key}"]: ${reason}`);
}
