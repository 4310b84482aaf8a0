/** Tables of who reaches whom, as text: what a test expects is written down as it is printed. */
import { isIPv6 } from "node:net";
import { type Place, type ProbeTransport, probe, transports } from "./probe.ts";

export interface Target {
  name: string;
  /** Of either family, with telling servers at the port; or those that a place asks. */
  addresses: string[] | ((place: Place) => string[]);
  port: number;
}

/**
 * A row for each place, a column for each target: 4 and 6 for the families on which it answers, `-` for none of them,
 * `.` where the target has no address at all. A family on which TCP and UDP differ bears the name of the one that comes
 * through: `4tcp`.
 */
export async function reachTable(from: readonly Place[], targets: readonly Target[]): Promise<string> {
  const rows = await Promise.all(
    from.map(async (place) => [place.name, ...(await Promise.all(targets.map((target) => reach(place, target))))]),
  );
  return formatTable([["", ...targets.map(({ name }) => name)], ...rows]);
}

async function reach(place: Place, { addresses: given, port }: Target): Promise<string> {
  const addresses = typeof given === "function" ? given(place) : given;
  if (addresses.length === 0) return ".";
  const cells = await Promise.all(
    addresses.map(async (address) => {
      const family = isIPv6(address) ? "6" : "4";
      const answered = await Promise.all(
        transports.map(async (transport) => ((await probe(place, transport, address, port)) ? [transport] : [])),
      );
      return byTransports(family, answered.flat());
    }),
  );
  return cells.sort().join("") || "-";
}

function byTransports(text: string, answered: readonly ProbeTransport[]): string {
  if (answered.length === transports.length) return text;
  return answered.map((transport) => `${text}${transport}`).join("");
}

/** Columns of equal width, two spaces between them, nothing at the ends of lines. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** The same table, however a test has indented it. */
export function expectedTable(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const indent = Math.min(...lines.slice(1).map((line) => line.search(/\S/)));
  const cells = lines.map((line, index) => {
    const words = line.slice(indent).trim().split(/\s+/);
    return index === 0 ? ["", ...words] : words;
  });
  return formatTable(cells);
}
