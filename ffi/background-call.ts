/**
 * A system call in a process of its own, for one that takes longer than the event loop, or one of the few threads of its
 * pool, shall wait. The process is a plan: it starts in less than a millisecond and has a page or two.
 */

import type { SyscallName } from "./constants/syscalls.ts";
import { SyscallError } from "./errno.ts";
import type { Descriptor, Fd } from "./fd.ts";
import { pipe2 } from "./files.ts";
import { PlanBuilder } from "./plan/builder.ts";
import { spawnPlan } from "./plan/spawn.ts";
import type { Argument } from "./plan/values.ts";
import { DescriptorReader } from "./stream.ts";

/**
 * Calls it with the descriptor as its first argument.
 * @param rest the further arguments.
 * @param object what the call is about, for its error.
 * @throws SyscallError.
 */
export async function callInBackground(
  name: SyscallName,
  descriptor: Descriptor,
  rest: readonly Argument[],
  object: string | undefined,
): Promise<number> {
  const plan = new PlanBuilder();
  return await run(plan, name, [plan.descriptor("subject"), ...rest], { object, descriptors: { subject: descriptor } });
}

/** As `callInBackground`, without a descriptor. */
export async function callByPathInBackground(
  name: SyscallName,
  args: readonly Argument[],
  object: string | undefined,
): Promise<number> {
  return await run(new PlanBuilder(), name, args, { object, descriptors: {} });
}

async function run(
  plan: PlanBuilder,
  name: SyscallName,
  args: readonly Argument[],
  { object, descriptors }: { object: string | undefined; descriptors: Record<string, Descriptor> },
): Promise<number> {
  // Nobody writes to it: it closes when the process has ended.
  plan.descriptor("end");
  const result = plan.call(name, args);
  plan.call("exit_group", [0]);
  const end = pipe2();
  const reader = new DescriptorReader(end.reader);
  try {
    using writer: Fd = end.writer;
    using process = spawnPlan(plan.build(), { descriptors: { ...descriptors, end: writer } });
    writer.close();
    await reader.read();
    process.reap();
    const answer = process.result(result);
    if (answer === undefined) throw new Error(`${name}: the process that was to wait for it was killed`);
    if (answer < 0) throw new SyscallError(name, -answer, object);
    return answer;
  } finally {
    await reader.close();
  }
}
