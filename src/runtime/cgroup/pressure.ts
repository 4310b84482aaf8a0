import { readOptional } from "./files.ts";
import type { Pressure, PressureTimes } from "./stats-types.ts";

const none: PressureTimes = { avg10: 0, avg60: 0, avg300: 0, total: 0 };

/**
 * Reads `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and the line `full`, which old kernels lack for the CPU.
 * @returns undefined where the kernel counts no pressure.
 */
export function readPressure(path: string): Pressure | undefined {
  const text = readOptional(path);
  if (!text) return undefined;
  const pressure: Pressure = { some: none, full: none };
  for (const line of text.split("\n")) {
    const [kind, ...fields] = line.split(" ");
    if (kind !== "some" && kind !== "full") continue;
    const values = Object.fromEntries(fields.map((field) => field.split("=") as [string, string]));
    const number = (name: keyof PressureTimes): number => Number(values[name] ?? 0);
    pressure[kind] = {
      avg10: number("avg10"),
      avg60: number("avg60"),
      avg300: number("avg300"),
      total: number("total"),
    };
  }
  return pressure;
}
