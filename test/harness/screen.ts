const controlStart = "\x1b";
/** A control sequence that moves or clears, one of another kind, or a character. */
const pieces = new RegExp(
  `${controlStart}\\[(\\d*)([ABJK])|${controlStart}\\[[\\d;?]*[a-zA-Z]|([^${controlStart}])`,
  "g",
);

/**
 * What a terminal of so many rows shows after that output, with all that has scrolled out of it; without the line that
 * the cursor is in, and without spaces at the ends.
 */
export function screenLines(output: string, rows: number): string[] {
  const lines = [""];
  let row = 0;
  let column = 0;
  for (const [, amount, kind, character] of output.matchAll(pieces)) {
    const by = amount === "" ? 1 : Number(amount);
    if (kind === "A") row = Math.max(0, lines.length - rows, row - by);
    else if (kind === "B") row = Math.min(lines.length - 1, row + by);
    else if (kind === "K") lines[row] = amount === "2" ? "" : lines[row]!.slice(0, column);
    else if (kind === "J") lines.splice(row, lines.length, lines[row]!.slice(0, column));
    else if (character === "\r") column = 0;
    else if (character === "\n") {
      row += 1;
      column = 0;
      if (row === lines.length) lines.push("");
    } else if (character !== undefined) {
      lines[row] = lines[row]!.padEnd(column).slice(0, column) + character + lines[row]!.slice(column + 1);
      column += 1;
    }
  }
  return lines.map((line) => line.trimEnd()).slice(0, -1);
}
