import { expect, test } from "bun:test";
import { compileTemplate } from "../template/execute.ts";
import { dockerValue } from "./docker-types.ts";

function ofTime(template: string, time: string): string {
  return compileTemplate(template).execute(dockerValue("time.Time", time));
}

function ofDuration(template: string, nanoseconds: number): string {
  return compileTemplate(template).execute(dockerValue("time.Duration", nanoseconds));
}

test.each([
  ["{{.}}", "2026-03-04T05:06:07Z", "2026-03-04 05:06:07 +0000 UTC"],
  ["{{.}}", "2026-03-04T05:06:07.120300Z", "2026-03-04 05:06:07.1203 +0000 UTC"],
  ["{{.}} {{.Format `MST`}}", "2026-03-04T05:06:07-08:00", "2026-03-04 05:06:07 -0800 -0800 -0800"],
  ["{{json .}}", "2026-03-04T05:06:07.500-08:00", '"2026-03-04T05:06:07.5-08:00"'],
  ["{{.UTC}} {{.Unix}}", "2026-03-04T05:06:07.5-08:00", "2026-03-04 13:06:07.5 +0000 UTC 1772629567"],
  ["{{.UnixNano}} {{.UnixMilli}} {{.Nanosecond}}", "1970-01-01T00:00:01.002003004Z", "1002003004 1002 2003004"],
  ["{{.Year}}-{{.Month}}-{{.Day}} {{.Weekday}} {{.YearDay}}", "2024-12-31T00:00:00Z", "2024-December-31 Tuesday 366"],
  ["{{.Hour}}:{{.Minute}}:{{.Second}}", "2026-03-04T15:06:07Z", "15:6:7"],
  [
    '{{.Format "Mon Monday Jan January 1 01 2 02 _2 002 2006 06"}}',
    "2026-03-04T15:06:07Z",
    "Wed Wednesday Mar March 3 03 4 04  4 063 2026 26",
  ],
  [
    '{{.Format "15 3 03 4 04 5 05 PM pm .000 .999 MST Z07:00 -0700 -07"}}',
    "2026-03-04T15:06:07.25Z",
    "15 3 03 6 06 7 07 PM pm .250 .25 UTC Z +0000 +00",
  ],
  ["{{.IsZero}}", "0001-01-01T00:00:00Z", "true"],
  ["{{.IsZero}}", "2026-03-04T15:06:07Z", "false"],
])("%s of the time %s", (template, time, text) => {
  expect(ofTime(template, time)).toBe(text);
});

test.each([
  [0, "0s"],
  [1, "1ns"],
  [1500, "1.5µs"],
  [2_000_000, "2ms"],
  [1_500_000_000, "1.5s"],
  [90_000_000_000, "1m30s"],
  [3_600_000_000_000, "1h0m0s"],
  [-90_000_000_000, "-1m30s"],
])("a duration of %d ns is %s", (nanoseconds, text) => {
  expect(ofDuration("{{.}}", nanoseconds)).toBe(text);
  expect(ofDuration("{{.String}}", nanoseconds)).toBe(text);
});

test("a duration tells itself in other units", () => {
  expect(ofDuration("{{.Hours}} {{.Minutes}} {{.Seconds}} {{.Milliseconds}}", 5_400_000_000_000)).toBe(
    "1.5 90 5400 5400000",
  );
});
