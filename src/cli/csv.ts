/**
 * The fields of one line of comma-separated values (RFC 4180), as docker reads `--subnet a,b` and `--network
 * name=a,ip=b`: a field with a comma in it stands in quotes, a quote within those is doubled.
 * @throws Error in the words of Go's encoding/csv.
 */
export function csvFields(text: string): string[] {
  const fields: string[] = [];
  const line = text.replace(/^(?:\r?\n)+/, "");
  for (let at = 0; ; ) {
    const field = line[at] === '"' ? quotedField(line, at) : plainField(line, at);
    fields.push(field.value);
    if (line[field.end] !== ",") return fields;
    at = field.end + 1;
  }
}

interface Field {
  value: string;
  /** Where the comma is, or the end. */
  end: number;
}

function plainField(line: string, start: number): Field {
  const length = line.slice(start).search(/,|\r?\n|$/);
  const value = line.slice(start, start + length);
  const quote = value.indexOf('"');
  if (quote >= 0) throw parseError(line, start + quote, 'bare " in non-quoted-field');
  return { value, end: start + length };
}

function quotedField(line: string, start: number): Field {
  let value = "";
  for (let at = start + 1; ; at++) {
    const quote = line.indexOf('"', at);
    if (quote < 0) throw parseError(line, line.length, misplaced);
    value += line.slice(at, quote);
    at = quote + 1;
    if (line[at] === '"') value += '"';
    else if (/^(?:,|\r?\n|$)/.test(line.slice(at))) return { value, end: at };
    else throw parseError(line, quote, misplaced);
  }
}

const misplaced = 'extraneous or missing " in quoted-field';

/** Columns count bytes from 1. */
function parseError(line: string, at: number, reason: string): Error {
  return new Error(`parse error on line 1, column ${Buffer.byteLength(line.slice(0, at)) + 1}: ${reason}`);
}
