import { expect, test } from "bun:test";
import * as v from "valibot";
import { record } from "./record.ts";

const schema = v.object({ Labels: record(v.string()) });
const odd = '{"Labels":{"a":"1","__proto__":"2","prototype":"3","constructor":"4"}}';

test("A record has every key, also those that objects have of themselves", () => {
  const { Labels } = v.parse(schema, JSON.parse(odd));
  expect(JSON.stringify({ Labels })).toBe(odd);
  expect(JSON.stringify({ ...Labels })).toBe(JSON.stringify(Labels));
  expect(Object.getPrototypeOf(Labels)).toBe(Object.prototype);
  expect(Object.keys(v.parse(schema, { Labels: {} }).Labels)).toEqual([]);
});

test("What is wrong is named with its path", () => {
  const fault = (json: string) => {
    const [issue] = v.safeParse(schema, JSON.parse(json), { abortEarly: true }).issues ?? [];
    return issue && v.getDotPath(issue);
  };
  expect(fault('{"Labels":{"a":1}}')).toBe("Labels.a");
  expect(fault('{"Labels":{"constructor":1}}')).toBe("Labels.constructor");
  expect(fault('{"Labels":"x"}')).toBe("Labels");
});
