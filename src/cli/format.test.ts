import { describe, expect, test } from "bun:test";
import { type Column, formatList, formatObjects } from "./format.ts";
import { ellipsis } from "./table.ts";
import { TypeTable } from "./template/type-table.ts";
import { Value } from "./template/types.ts";
import { ago, ansicTime, goTime } from "./time.ts";

const columns: Column<{ id: string; size: number }>[] = [
  { name: "ID", header: "CONTAINER ID", value: (item) => item.id },
  { name: "Size", header: "SIZE", value: (item) => item.size },
];
const items = [
  { id: "abc", size: 1 },
  { id: "defghi", size: 22 },
];

describe("lists", () => {
  test("are tables with padded columns", () => {
    expect(formatList(items, columns, ["ID", "Size"], "")).toBe(
      "CONTAINER ID   SIZE\nabc            1\ndefghi         22",
    );
  });
  test("are a JSON object a line", () => {
    expect(formatList(items, columns, ["ID"], "json")).toBe('{"ID":"abc","Size":1}\n{"ID":"defghi","Size":22}');
  });
  test("follow a template, as a table with headers too", () => {
    expect(formatList(items, columns, ["ID"], "{{.ID}}:{{.Size}}")).toBe("abc:1\ndefghi:22");
    expect(formatList(items, columns, ["ID"], "table {{.Size}}\\t{{.ID | upper}}")).toBe(
      "SIZE      CONTAINER ID\n1         ABC\n22        DEFGHI",
    );
  });
  test("have JSON as Go writes it for the whole of an item, and as it is for a field", () => {
    const odd = [{ id: "<none>", size: 1 }];
    const whole = '{"ID":"\\u003cnone\\u003e","Size":1}';
    expect(formatList(odd, columns, ["ID"], "json")).toBe(whole);
    expect(formatList(odd, columns, ["ID"], "{{json .}}")).toBe(whole);
    expect(formatList(odd, columns, ["ID"], "{{json .ID}}")).toBe('"<none>"');
  });
  test("are aligned line by line: one with fewer cells begins a column anew", () => {
    const lines = [
      { id: "a", size: 1 },
      { id: "b\nc", size: 2 },
      { id: "d", size: 333_333_333 },
    ];
    expect(formatList(lines, columns, ["Size", "ID", "Size"], "{{.ID}}\t{{.Size}}\t|")).toContain("\t");
    expect(formatList(lines, columns, [], "table {{.ID}}\t{{.Size}}\t|")).toBe(
      [
        "CONTAINER ID   SIZE      |",
        "a              1         |",
        "b",
        "c         2           |",
        "d         333333333   |",
      ].join("\n"),
    );
  });
  test("of nothing are the header alone", () => {
    expect(formatList([], columns, ["ID", "Size"], "")).toBe("CONTAINER ID   SIZE");
    expect(formatList([], columns, ["ID"], "{{.ID}}")).toBe("");
  });
  test("refuse a field that is not there", () => {
    expect(() => formatList(items, columns, ["ID"], "{{.Nope}}")).toThrow(
      "can't evaluate field Nope in type *formatter.context",
    );
  });
});

test("objects are printed as JSON with four spaces, or through a template", () => {
  const table = new TypeTable({ "a.B": "B int" });
  const [one, two] = [1, 2].map((A) => ({ json: { A }, view: new Value(table.type("a.B"), { B: A }) }));
  expect(formatObjects([one!], "")).toBe('[\n    {\n        "A": 1\n    }\n]');
  expect(formatObjects([one!, two!], "json")).toBe('[{"A":1},{"A":2}]');
  expect(formatObjects([one!, two!], "{{.A}}")).toBe("1\n2");
  expect(formatObjects([one!, two!], "{{.B}}")).toBe("1\n2");
  expect(() => formatObjects([one!], "{{.C}}")).toThrow('map has no entry for key "C"');
});

test("durations are said as docker says them", () => {
  const cases: [number, string][] = [
    [0.2, "Less than a second"],
    [1, "1 second"],
    [59, "59 seconds"],
    [60, "About a minute"],
    [150, "2 minutes"],
    [3600, "About an hour"],
    [3 * 3600, "3 hours"],
    [49 * 3600, "2 days"],
    [15 * 86400, "2 weeks"],
    [70 * 86400, "2 months"],
    [800 * 86400, "2 years"],
  ];
  for (const [seconds, words] of cases) expect(ago(0, seconds * 1000)).toBe(`${words} ago`);
});

test("times have date, time, offset and zone", () => {
  expect(goTime(0)).toMatch(/^19(69|70)-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \S+$/);
});

test("the time of a build is said as docker says it", () => {
  expect(ansicTime("2026-01-02T03:04:05.678Z")).toBe("Fri Jan  2 03:04:05 2026");
  expect(ansicTime("2025-05-30T12:07:14.000000000+00:00")).toBe("Fri May 30 12:07:14 2025");
  expect(ansicTime("unknown")).toBe("unknown");
});

test("an ellipsis leaves as many columns as there are, of which wide characters take two", () => {
  expect(ellipsis("0123456789", 10)).toBe("0123456789");
  expect(ellipsis("0123456789a", 10)).toBe("012345678…");
  expect(ellipsis("日本語です", 10)).toBe("日本語です");
  expect(ellipsis("日本語ですよ", 10)).toBe("日本語で…");
  expect(ellipsis("echo 日本語 'and a long rest'", 20)).toBe("echo 日本語 'and a …");
});
