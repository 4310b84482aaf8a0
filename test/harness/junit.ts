/** Reads the part of a JUnit report (as Bun writes it) that the summary needs. */

export interface FileReport {
  label: string;
  passed: number;
  /** Names of test cases, `file > test`. */
  failed: string[];
  skipped: string[];
}

export function parseJunit(label: string, xml: string): FileReport {
  const report: FileReport = { label, passed: 0, failed: [], skipped: [] };
  for (const match of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attributes = Object.fromEntries(
      [...match[1]!.matchAll(/(\w+)="([^"]*)"/g)].map((it) => [it[1]!, unescapeXml(it[2]!)]),
    );
    const name = `${attributes.file ?? label} > ${attributes.name}`;
    const body = match[2] ?? "";
    if (body.includes("<skipped")) report.skipped.push(name);
    else if (body.includes("<failure") || body.includes("<error")) report.failed.push(name);
    else report.passed++;
  }
  return report;
}

function unescapeXml(text: string): string {
  const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replace(/&(?:#(\d+)|#x([0-9a-fA-F]+)|(\w+));/g, (whole, decimal, hex, name) => {
    if (decimal) return String.fromCodePoint(Number(decimal));
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16));
    return entities[name as string] ?? whole;
  });
}
