/** Columns as docker's tables have them: padded with spaces, three between, the last one free. */
export function formatTable(rows: string[][]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
    });
  }
  const gap = 3;
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const isLast = column === row.length - 1;
          return isLast ? cell : cell + " ".repeat(widths[column]! - Bun.stringWidth(cell) + gap);
        })
        .join(""),
    )
    .join("\n");
}

/** Cuts to a width with an ellipsis, as docker shows long commands. */
export function ellipsis(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join("")}…`;
}
