import { describe, expect, test } from "bun:test";
import { screenLines } from "../../test/harness/screen.ts";
import type { JsonMessage } from "../api/schema/progress.ts";
import { ProgressDisplay, progressText } from "./progress.ts";

/** A terminal, as far as the display uses one. */
class Screen {
  readonly isTerminal: boolean = true;
  readonly rows: number;
  readonly columns: number;
  #text = "";

  constructor(rows: number, columns: number) {
    this.rows = rows;
    this.columns = columns;
  }

  write(text: string): void {
    this.#text += text;
  }

  /** All lines that were ever shown, those that have scrolled away first. */
  get lines(): string[] {
    return screenLines(this.#text, this.rows);
  }
}

function play(messages: JsonMessage[], output: { isTerminal: boolean; columns: number; rows: number }): string {
  let text = "";
  const display = new ProgressDisplay({ ...output, write: (piece) => (text += piece) });
  for (const message of messages) display.show(message);
  return text;
}

const plain = { isTerminal: false, columns: 80, rows: 24 };

const pull: JsonMessage[] = [
  { status: "Pulling from library/busybox", id: "latest" },
  { status: "Pulling fs layer", id: "aaa", progressDetail: {} },
  { status: "Pulling fs layer", id: "bbb", progressDetail: {} },
  { status: "Downloading", id: "aaa", progressDetail: { current: 500_000, total: 1_000_000 } },
  { status: "Pull complete", id: "aaa", progressDetail: {} },
  { status: "Digest: sha256:1" },
];

test("plain output has a line a change and none for progress", () => {
  expect(play(pull, plain)).toBe(
    "latest: Pulling from library/busybox\naaa: Pulling fs layer\nbbb: Pulling fs layer\naaa: Pull complete\nDigest: sha256:1\n",
  );
});

describe("a terminal", () => {
  test("has its lines redrawn in place", () => {
    const screen = new Screen(24, 80);
    const display = new ProgressDisplay(screen);
    for (const message of pull.slice(0, 4)) display.show(message);
    expect(screen.lines).toEqual([
      "latest: Pulling from library/busybox",
      "aaa: Downloading    500kB/1MB",
      "bbb: Pulling fs layer",
    ]);
    for (const message of pull.slice(4)) display.show(message);
    expect(screen.lines).toEqual([
      "latest: Pulling from library/busybox",
      "aaa: Pull complete",
      "bbb: Pulling fs layer",
      "Digest: sha256:1",
    ]);
  });

  test("gets no line that is wider than it", () => {
    const screen = new Screen(24, 20);
    const display = new ProgressDisplay(screen);
    const detail = { current: 500_000, total: 1_000_000 };
    display.show({ status: "Downloading", id: "0123456789ab", progressDetail: detail });
    expect(screen.lines).toEqual(["0123456789ab: Downlo"]);
  });

  test("with fewer rows than there are layers keeps those that are done, and shows as many others as fit", () => {
    const screen = new Screen(6, 80);
    const display = new ProgressDisplay(screen);
    const layers = Array.from({ length: 12 }, (_, index) => `layer${String(index).padStart(2, "0")}`);
    display.show({ status: "Pulling from x", id: "latest" });
    for (const id of layers) display.show({ status: "Pulling fs layer", id, progressDetail: {} });
    expect(screen.lines).toEqual([
      "latest: Pulling from x",
      ...layers.slice(0, 4).map((id) => `${id}: Pulling fs layer`),
      "... 8 more",
    ]);
    for (const id of layers.slice(0, 9)) display.show({ status: "Pull complete", id, progressDetail: {} });
    display.show({ status: "Extracting", id: layers[10]!, progressDetail: { current: 1, total: 4 } });
    expect(screen.lines.slice(-5).join("\n")).toContain("layer10: Extracting       1B/4B");
    for (const id of layers.slice(9)) display.show({ status: "Pull complete", id, progressDetail: {} });
    display.show({ status: "Status: done" });
    expect(screen.lines[0]).toBe("latest: Pulling from x");
    expect(screen.lines.slice(1, -1).sort()).toEqual(layers.map((id) => `${id}: Pull complete`));
    expect(screen.lines.at(-1)).toBe("Status: done");
  });

  test("shows at the end what there was no room for", () => {
    const screen = new Screen(3, 80);
    const display = new ProgressDisplay(screen);
    for (const id of ["a", "b", "c", "d"]) display.show({ status: "Waiting", id, progressDetail: {} });
    display.show({ status: "Status: given up" });
    expect(screen.lines).toEqual([...["a", "b", "c", "d"].map((id) => `${id}: Waiting`), "Status: given up"]);
  });
});

test("an error ends the display", () => {
  expect(() => play([{ errorDetail: { message: "unexpected EOF" } }], plain)).toThrow("unexpected EOF");
  const details = { code: "no_space", errno: "ENOSPC", hint: "make room" } as const;
  expect(() => play([{ errorDetail: { message: "disk full" }, details }], plain)).toThrow(
    expect.objectContaining({ message: "disk full", ...details }),
  );
});

test("bars need room and a total", () => {
  expect(progressText({ current: 5, total: 10 }, 200)).toBe(`[${"=".repeat(25)}>${" ".repeat(25)}]       5B/10B`);
  expect(progressText({ current: 10, total: 10 }, 111)).toBe(`[${"=".repeat(50)}>]      10B/10B`);
  expect(progressText({ current: 1_234_567, total: 10_000_000 }, 110)).toBe(" 1.235MB/10MB");
  expect(progressText({ current: 12, total: 10 }, 80)).toBe("     12B");
  expect(progressText({ current: 5 }, 200)).toBe("      5B");
  expect(progressText({ current: 5, units: "s" }, 200)).toBe("5 s");
  expect(progressText({}, 200)).toBe("");
});
