import { expect, test } from "bun:test";
import type { JsonMessage } from "../../api/schema/progress.ts";
import { reported } from "./progress.ts";

test("reports come in order, and the error after them", async () => {
  const seen: (string | undefined)[] = [];
  const reading = (async () => {
    const messages = reported(async (report) => {
      report({ status: "one" });
      await Bun.sleep(1);
      report({ status: "two" });
      throw new Error("registry down");
    });
    for await (const { status } of messages) seen.push(status);
  })();
  expect(reading).rejects.toThrow("registry down");
  await reading.catch(() => undefined);
  expect(seen).toEqual(["one", "two"]);
});

test("a slow reader gets each counter's newest value, and every change of words", async () => {
  const messages = reported(async (report) => {
    for (let current = 1; current <= 1000; current++) {
      report({ id: "a", status: "Downloading", progressDetail: { current, total: 1000 } });
    }
    report({ id: "a", status: "Download complete", progressDetail: {} });
  });
  const seen: JsonMessage[] = [];
  for await (const message of messages) seen.push(message);
  expect(seen.map(({ status, progressDetail }) => [status, progressDetail?.current])).toEqual([
    ["Downloading", 1000],
    ["Download complete", undefined],
  ]);
});
