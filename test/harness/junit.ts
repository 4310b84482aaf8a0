/** Reads JUnit reports as Bun writes them. */

export interface TestCase {
  file: string | undefined;
  /** The names of the `describe` blocks around it. */
  group: string;
  name: string;
  outcome: "passed" | "failed" | "skipped";
  /** What was thrown; empty unless it failed. */
  failure: string;
  seconds: number;
}

export interface FileReport {
  label: string;
  passed: number;
  /** Names of test cases, `file > test`. */
  failed: string[];
  skipped: string[];
}

export function parseCases(xml: string): TestCase[] {
  return [...xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(([, head = "", body = ""]) => {
    const attributes = Object.fromEntries(
      [...head.matchAll(/(\w+)="([^"]*)"/g)].map((it) => [it[1]!, unescapeXml(it[2]!)]),
    );
    const failed = body.includes("<failure") || body.includes("<error");
    return {
      file: attributes.file,
      group: attributes.classname ?? "",
      name: attributes.name ?? "",
      outcome: body.includes("<skipped") ? "skipped" : failed ? "failed" : "passed",
      failure: failed ? unescapeXml(body.replaceAll(/<[^>]*>/g, "")).trim() : "",
      seconds: Number(attributes.time ?? 0),
    };
  });
}

export function parseJunit(label: string, xml: string): FileReport {
  const report: FileReport = { label, passed: 0, failed: [], skipped: [] };
  for (const { file, name, outcome } of parseCases(xml)) {
    if (outcome === "passed") report.passed++;
    else report[outcome].push(`${file ?? label} > ${name}`);
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
