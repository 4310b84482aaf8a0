import { beforeEach, expect, test } from "bun:test";
import { EngineError } from "../core/errors.ts";
import { forEach } from "./each.ts";

let tried: string[];
beforeEach(() => {
  tried = [];
});

const codes = { stopped: "not_modified", gone: "not_found" } as const;

async function act(name: string): Promise<undefined> {
  tried.push(name);
  const code = codes[name as keyof typeof codes];
  if (code !== undefined) throw new EngineError(code, `${name}: refused`);
  return undefined;
}

test("every object has its turn; what was so already is no failure, anything else is", async () => {
  expect(await forEach(["a", "stopped", "b"], act)).toBe(0);
  expect(await forEach(["a", "gone", "b"], act)).toBe(1);
  expect(tried).toEqual(["a", "stopped", "b", "a", "gone", "b"]);
});

test("a mistake of the program's own is not taken for an answer", async () => {
  const broken = forEach(["a"], async () => {
    throw new TypeError("a mistake");
  });
  expect(broken).rejects.toThrow("a mistake");
});
