import { expect, test } from "bun:test";
import { parseTimestamp, rfc3339Seconds } from "./timestamp.ts";

test("a time is a duration ago, a Unix time or a date", () => {
  const nowMs = 1_000_000_000;
  const cases: [text: string, seconds: string | undefined][] = [
    ["1h30m", "994600.000000000"],
    ["500ms", "999999.500000000"],
    [".5s", "999999.500000000"],
    ["-10s", "1000010.000000000"],
    ["0s", "1000000.000000000"],
    ["0", "0"],
    ["1700000000.000000001", "1700000000.000000001"],
    ["2026-01-02T03:04:05.5Z", "1767323045.5"],
    ["2026-01-02T03:04:05+01:00", "1767319445"],
    ["", undefined],
    ["h", undefined],
    ["1x", undefined],
    ["2026-13-01", undefined],
  ];
  for (const [text, seconds] of cases) expect(parseTimestamp(text, nowMs)).toBe(seconds);
});

test("a volume's time is RFC 3339 to the second, in local time", () => {
  const inZone = (zone: string, text: string) => {
    const { TZ } = process.env;
    process.env.TZ = zone;
    try {
      return rfc3339Seconds(text);
    } finally {
      if (TZ === undefined) delete process.env.TZ;
      else process.env.TZ = TZ;
    }
  };
  const time = "2026-01-02T23:04:05.987Z";
  expect(inZone("UTC", time)).toBe("2026-01-02T23:04:05Z");
  expect(inZone("Asia/Kolkata", time)).toBe("2026-01-03T04:34:05+05:30");
  expect(inZone("America/St_Johns", time)).toBe("2026-01-02T19:34:05-03:30");
  expect(rfc3339Seconds("")).toBe("0001-01-01T00:00:00Z");
});
