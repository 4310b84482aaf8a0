import { describe, expect, test } from "bun:test";
import { assertTransition, type ContainerState, exitCodeOf, projectState, zeroTime } from "./state.ts";

const created: ContainerState = { status: "created" };
const running: ContainerState = { status: "running", pid: 41, pidStartTicks: 7, startedAt: "2026-01-02T03:04:05Z" };
const exited: ContainerState = {
  status: "exited",
  startedAt: "2026-01-02T03:04:05Z",
  finishedAt: "2026-01-02T03:04:06Z",
  end: { kind: "exited", exitCode: 7, oomKilled: false },
};

describe("the transition table", () => {
  test("a container starts from created and from exited, through starting", () => {
    assertTransition("c", created, { status: "starting", from: created });
    assertTransition("c", { status: "starting", from: created }, running);
    assertTransition("c", running, exited);
    assertTransition("c", exited, { status: "starting", from: exited });
  });

  test("a start that fails goes back to where it was", () => {
    assertTransition(
      "c",
      { status: "starting", from: created },
      { ...created, failure: { exitCode: 127, message: "" } },
    );
    assertTransition("c", { status: "starting", from: exited }, exited);
  });

  test("what cannot follow is refused: running after created, removing while running, anything after removing", () => {
    expect(() => assertTransition("c1", created, running)).toThrow(
      "container c1: no transition from created to running",
    );
    expect(() => assertTransition("c1", running, { status: "removing", from: created })).toThrow(
      "from running to removing",
    );
    expect(() => assertTransition("c1", { status: "removing", from: exited }, exited)).toThrow(
      "from removing to exited",
    );
  });
});

describe("the projection onto Docker's booleans", () => {
  test("a running container has a pid and no end", () => {
    expect(projectState(running)).toMatchObject({ Status: "running", Running: true, Pid: 41, FinishedAt: zeroTime });
  });

  test("one that is paused runs, and says that it is", () => {
    const paused: ContainerState = { ...running, pausedFor: "user" };
    assertTransition("c", running, paused);
    assertTransition("c", paused, running);
    expect(projectState(paused)).toMatchObject({ Status: "paused", Running: true, Paused: true, Pid: 41 });
  });

  test("one that is being started still looks like what it was", () => {
    expect(projectState({ status: "starting", from: exited })).toEqual(projectState(exited));
  });

  test("an unknown end is 255 with its reason, not 0", () => {
    const end = { kind: "unknown", reason: "the shim was killed" } as const;
    expect(exitCodeOf(end)).toBe(255);
    expect(projectState({ ...exited, end })).toMatchObject({
      ExitCode: 255,
      Error: "the shim was killed",
      OOMKilled: false,
    });
  });

  test("a signal is 128 + n, an OOM kill says so", () => {
    expect(projectState({ ...exited, end: { kind: "signalled", signal: 9, oomKilled: true } })).toMatchObject({
      ExitCode: 137,
      OOMKilled: true,
    });
  });

  test("a failed start leaves a created container with the failure's exit status", () => {
    const failure = { exitCode: 127, message: 'exec: "nope": not found' };
    expect(projectState({ status: "created", failure })).toMatchObject({
      Status: "created",
      ExitCode: 127,
      Error: failure.message,
    });
  });
});
