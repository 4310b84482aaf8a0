/** The least width of a column with its gap, and the gap: what docker gives to Go's text/tabwriter. */
const columnMin = 10;
const gap = 3;

/** Columns as docker's tables have them: padded with spaces, the last one free. */
export function formatTable(rows: string[][]): string {
  return alignColumns(rows.map((row) => row.join("\t")).join("\n"));
}

/**
 * Aligns the cells of lines, each ended by a tab, as Go's text/tabwriter does: a column is as wide as the widest of the
 * lines in sequence that have it, so that a line with fewer cells (a value with a line break) ends it.
 */
export function alignColumns(text: string, leastWidth: number = columnMin): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const widths: number[][] = lines.map(() => []);
  const columns = Math.max(...lines.map((cells) => cells.length - 1));
  for (let column = 0; column < columns; column++) {
    for (let start = 0; start < lines.length; start++) {
      let end = start;
      let width = leastWidth;
      for (; end < lines.length && column < lines[end]!.length - 1; end++) {
        width = Math.max(width, Bun.stringWidth(lines[end]![column]!) + gap);
      }
      for (let line = start; line < end; line++) widths[line]![column] = width;
      start = end;
    }
  }
  return lines
    .map((cells, line) => cells.map((cell, column) => padded(cell, widths[line]![column])).join(""))
    .join("\n");
}

function padded(cell: string, width: number | undefined): string {
  return width === undefined ? cell : cell + " ".repeat(width - Bun.stringWidth(cell));
}

/** Cuts to a number of columns with an ellipsis, as docker shows long commands: wide characters take two. */
export function ellipsis(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width && columnsOf(text) <= width) return text;
  let [kept, columns] = ["", 0];
  for (const character of characters) {
    columns += columnsOf(character);
    if (columns > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** What takes none by itself (a mark, a control character) is counted as one. */
function columnsOf(text: string): number {
  return [...text].reduce((sum, character) => sum + Math.max(1, Bun.stringWidth(character)), 0);
}
