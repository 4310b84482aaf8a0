import { describe, expect, test } from "bun:test";
import { csvFields } from "./csv.ts";

describe("comma-separated values", () => {
  test.each<[text: string, fields: string[]]>([
    ["a", ["a"]],
    ["a,b", ["a", "b"]],
    ["a,,b,", ["a", "", "b", ""]],
    [" a , b ", [" a ", " b "]],
    ['"a,b",c', ["a,b", "c"]],
    ['"a ""b"" c"', ['a "b" c']],
    ['""', [""]],
    ["a\nb", ["a"]],
    ["\n\r\na,b", ["a", "b"]],
    ['"a\nb",c', ["a\nb", "c"]],
  ])("%j are %j", (text, fields) => expect(csvFields(text)).toEqual(fields));

  test.each<[text: string, reason: string]>([
    ['a"b', 'column 2: bare " in non-quoted-field'],
    ['ab,c"', 'column 5: bare " in non-quoted-field'],
    ['"a', 'column 3: extraneous or missing " in quoted-field'],
    ['"a"b', 'column 3: extraneous or missing " in quoted-field'],
    ['ä,"b', 'column 6: extraneous or missing " in quoted-field'],
  ])("%j are none: %s", (text, reason) => {
    expect(() => csvFields(text)).toThrow(`parse error on line 1, ${reason}`);
  });
});
