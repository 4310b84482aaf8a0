/** Checkpoints of a fake engine's containers: their names. */
import { EngineError } from "../../core/errors.ts";
import type { CheckpointBackend, CheckpointName } from "../backend/checkpoints.ts";

/** @param find throws EngineError not_found. */
export function fakeCheckpoints(
  find: (ref: string) => { name: string },
  note: (call: string) => void,
): CheckpointBackend {
  const made = new Set<string>();
  const key = (ref: string, { name, directory = "own" }: CheckpointName) => `${find(ref).name} ${directory} ${name}`;
  const existing = (ref: string, checkpoint: CheckpointName): string => {
    const found = key(ref, checkpoint);
    if (made.has(found)) return found;
    throw new EngineError("not_found", `checkpoint ${checkpoint.name} does not exist for container ${find(ref).name}`);
  };
  return {
    create: async (ref, checkpoint, { leaveRunning }) => {
      made.add(key(ref, checkpoint));
      note(`checkpoint ${key(ref, checkpoint)} ${leaveRunning ? "goes on" : "ends"}`);
    },
    list: async (ref, directory = "own") => {
      const prefix = `${find(ref).name} ${directory} `;
      return [...made].filter((each) => each.startsWith(prefix)).map((each) => each.slice(prefix.length));
    },
    remove: async (ref, checkpoint) => {
      made.delete(existing(ref, checkpoint));
    },
    start: async (ref, checkpoint) => note(`restore ${existing(ref, checkpoint)}`),
  };
}
