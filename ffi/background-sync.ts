/**
 * fdatasync(2) and syncfs(2) in a process of their own: they take as long as the disk does, and neither the event loop
 * nor one of the few threads of its pool shall wait for that. The process is a plan: it starts in less than a
 * millisecond and has a page or two.
 */

import { SyscallError } from "./errno.ts";
import type { Descriptor, Fd } from "./fd.ts";
import { pipe2 } from "./files.ts";
import { PlanBuilder } from "./plan/builder.ts";
import { spawnPlan } from "./plan/spawn.ts";
import { DescriptorReader } from "./stream.ts";

/** Waits until a file's data and size are on the disk. @throws SyscallError. */
export function fdatasyncInBackground(file: Descriptor, path?: string): Promise<void> {
  return sync("fdatasync", file, path);
}

/** Waits until everything that was written to the file system of `file` before is on the disk. @throws SyscallError. */
export function syncfsInBackground(file: Descriptor, path?: string): Promise<void> {
  return sync("syncfs", file, path);
}

async function sync(name: "fdatasync" | "syncfs", file: Descriptor, path: string | undefined): Promise<void> {
  const plan = new PlanBuilder();
  // Nobody writes to it: it closes when the process has ended.
  plan.descriptor("end");
  const result = plan.call(name, [plan.descriptor("file")]);
  plan.call("exit_group", [0]);
  const end = pipe2();
  const reader = new DescriptorReader(end.reader);
  try {
    using writer: Fd = end.writer;
    using process = spawnPlan(plan.build(), { descriptors: { file, end: writer } });
    writer.close();
    await reader.read();
    process.reap();
    const answer = process.result(result);
    if (answer === undefined) throw new Error(`${name}: the process that was to wait for the disk was killed`);
    if (answer < 0) throw new SyscallError(name, -answer, path);
  } finally {
    await reader.close();
  }
}
