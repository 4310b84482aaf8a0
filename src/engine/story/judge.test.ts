import { expect, test } from "bun:test";
import type { EndCause } from "../../api/schema/story.ts";
import type { ContainerEnd, SentSignal } from "../container/end.ts";
import { lostEnds } from "../container/end.ts";
import { judge } from "./judge.ts";

const finishedAt = "2026-01-02T03:04:15.000Z";
const sent = (signal: number, verb: SentSignal["verb"], at = "2026-01-02T03:04:05.000Z"): SentSignal => ({
  signal,
  verb,
  at,
});
const exited = (exitCode: number, more: object = {}): ContainerEnd => ({
  kind: "exited",
  exitCode,
  oomKilled: "oom" in more,
  ...more,
});
const signalled = (signal: number, more: object = {}): ContainerEnd => ({
  kind: "signalled",
  signal,
  oomKilled: "oom" in more,
  ...more,
});
const oom = { kills: 2, limitBytes: 2 ** 24, peakBytes: 2 ** 24 - 1 };
const kills = "The kernel ended 2 of its processes for want of memory (limit 16MiB, at most 16MiB in use).";

test.each<[what: string, end: ContainerEnd, cause: EndCause, summary: string]>([
  [
    "a shell's word",
    exited(139),
    "itself",
    "It ended by itself with exit status 139, as of a process that SIGSEGV has ended.",
  ],
  ["a child for memory", exited(1, { oom }), "itself", `It ended by itself with exit status 1. ${kills}`],
  [
    "a child for memory, told by a shell",
    exited(137, { oom }),
    "memory",
    `${kills} Then it ended with exit status 137, as of a process that SIGKILL has ended.`,
  ],
  [
    "the whole for memory",
    signalled(9, { oom }),
    "memory",
    `The kernel ended it by SIGKILL for want of memory. ${kills}`,
  ],
  [
    "a kill among memory's",
    signalled(9, { oom, sent: [sent(9, "kill")] }),
    "asked",
    `It was ended by SIGKILL, which \`kill\` had sent it. ${kills}`,
  ],
  [
    "a stop in two steps",
    signalled(9, { sent: [sent(15, "stop"), sent(9, "stop", finishedAt)] }),
    "asked",
    "It was ended by SIGKILL, which `stop` had sent it 10.0 s after SIGTERM, which had not ended it.",
  ],
  [
    "a stop that is heeded",
    exited(0, { sent: [sent(15, "stop")] }),
    "asked",
    "It ended with exit status 0, which is success, 10.0 s after `stop` had sent it SIGTERM.",
  ],
  [
    "a signal of long ago",
    exited(2, { sent: [sent(1, "kill", "2026-01-01T00:00:00Z")] }),
    "itself",
    "It ended by itself with exit status 2.",
  ],
  [
    "a signal that ends nobody",
    exited(2, { sent: [sent(28, "kill", finishedAt)] }),
    "itself",
    "It ended by itself with exit status 2.",
  ],
  [
    "health",
    signalled(9, { sent: [{ ...sent(9, "kill"), initiator: { kind: "engine", reason: "health" } }] }),
    "asked",
    "It was ended by SIGKILL, which `kill` of its health check had sent it.",
  ],
  [
    "another's signal after ours",
    signalled(9, { sent: [sent(15, "kill")] }),
    "outside",
    "It was ended by SIGKILL, which tsd did not send: a process of the host, or the kernel did. `kill` had sent it SIGTERM 10.0 s before.",
  ],
  ["seccomp", signalled(31), "crash", "It crashed by SIGSYS: a system call that is not allowed to it (seccomp)."],
  [
    "a lost host",
    { kind: "unknown", reason: lostEnds.host },
    "host-restarted",
    "How it ended is not known: the host was restarted while it ran.",
  ],
])("of %s it is said what is known", (_, end, cause, summary) => {
  expect(judge({ end, finishedAt }, { hasOwnPids: true, isUp: false })).toEqual({ cause, summary });
});

test("what shares its pids with others may have been ended by any of them", () => {
  const { summary } = judge({ end: signalled(9), finishedAt }, { hasOwnPids: false, isUp: false });
  expect(summary).toBe("It was ended by SIGKILL, which tsd did not send: another process, or the kernel did.");
});
