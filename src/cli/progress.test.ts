import { expect, test } from "bun:test";
import type { JsonMessage } from "../api/schema/progress.ts";
import { ProgressDisplay, progressBar } from "./progress.ts";

function shown(messages: JsonMessage[], isTerminal: boolean): string {
  let text = "";
  const display = new ProgressDisplay({ isTerminal, columns: 80, write: (piece) => (text += piece) });
  for (const message of messages) display.show(message);
  return text;
}

const pull: JsonMessage[] = [
  { status: "Pulling from library/busybox", id: "latest" },
  { status: "Pulling fs layer", id: "aaa" },
  { status: "Pulling fs layer", id: "bbb" },
  { status: "Downloading", id: "aaa", progressDetail: { current: 500_000, total: 1_000_000 } },
  { status: "Pull complete", id: "aaa" },
  { status: "Digest: sha256:1" },
];

test("plain output has a line a change and none for progress", () => {
  expect(shown(pull, false)).toBe(
    "latest: Pulling from library/busybox\naaa: Pulling fs layer\nbbb: Pulling fs layer\naaa: Pull complete\nDigest: sha256:1\n",
  );
});

test("a terminal's lines are redrawn in place", () => {
  const text = shown(pull, true);
  expect(text).toContain("\x1b[2A\x1b[2K\raaa: Downloading    500kB/1MB\r\x1b[2B");
  expect(text).toContain("\x1b[2A\x1b[2K\raaa: Pull complete\r\x1b[2B");
  expect(text).toEndWith("Digest: sha256:1\n");
});

test("an error ends the display", () => {
  expect(() => shown([{ errorDetail: { message: "unexpected EOF" } }], false)).toThrow("unexpected EOF");
});

test("bars need room and a total", () => {
  expect(progressBar({ current: 5, total: 10 }, 200)).toContain(`[${"=".repeat(25)}>`);
  expect(progressBar({ current: 5 }, 200)).toBe("       5B");
  expect(progressBar({}, 200)).toBe("");
});
