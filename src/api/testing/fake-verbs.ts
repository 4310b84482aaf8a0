/** Verbs of a fake engine's containers that only note that they were asked for. */
import { EngineError } from "../../core/errors.ts";
import type { ContainerBackend } from "../backend/containers.ts";

type Verbs = Pick<ContainerBackend, "update" | "rename" | "restart" | "pause" | "unpause">;

export interface FakeVerbsOptions {
  /** @throws EngineError not_found. */
  find: (ref: string) => { name: string; running: boolean };
  note: (call: string) => void;
}

export function fakeVerbs({ find, note }: FakeVerbsOptions): Verbs {
  const paused = new Set<string>();
  return {
    restart: async (ref, { signal, timeoutSeconds }) => {
      note(`restart ${find(ref).name} ${signal ?? "-"} ${timeoutSeconds ?? "-"}`);
    },
    update: async (ref, request) => {
      note(`update ${find(ref).name} ${JSON.stringify(request)}`);
      return { Warnings: [] };
    },
    rename: async (ref, name) => note(`rename ${find(ref).name} ${name}`),
    pause: async (ref) => {
      const { name, running } = find(ref);
      if (!running) throw new EngineError("conflict", `container ${ref} is not running`);
      note(`pause ${name}`);
      paused.add(name);
    },
    unpause: async (ref) => {
      const { name } = find(ref);
      if (!paused.delete(name)) throw new EngineError("conflict", `Container ${ref} is not paused`);
      note(`unpause ${name}`);
    },
  };
}
