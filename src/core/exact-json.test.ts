import { expect, test } from "bun:test";
import { formatExactJson, parseExactJson } from "./exact-json.ts";

const unlimited = 2n ** 64n - 1n;

test("numbers of 64 bits are written and read as they are, in texts they are left alone", () => {
  const value = { hard: unlimited, soft: 5, list: [-(2n ** 63n)], digits: "12345678901234567890" };
  const text = formatExactJson(value);
  expect(text).toBe(
    '{"hard":18446744073709551615,"soft":5,"list":[-9223372036854775808],"digits":"12345678901234567890"}',
  );
  expect(parseExactJson(text)).toEqual(value);
});

test("what needs no care reads and looks as JSON does", () => {
  const value = { a: 1e3, b: [1.5, null, true], c: "1234567890123456" };
  expect(formatExactJson(value)).toBe(JSON.stringify(value));
  expect(formatExactJson({ hard: unlimited }, 2)).toBe('{\n  "hard": 18446744073709551615\n}');
  expect(parseExactJson(JSON.stringify(value))).toEqual(value);
  expect(() => parseExactJson("{")).toThrow(SyntaxError);
});

test("what JSON cannot write at all is still an error", () => {
  const circle: { self?: object } = {};
  circle.self = circle;
  expect(() => formatExactJson(circle)).toThrow(TypeError);
});
