/**
 * The runtime for programs: what the shim calls in its own process, and what the verbs of the command line are made of.
 * It knows no argument vectors and writes to no stream.
 */
export { createContainer } from "./create.ts";
export { type DeleteOptions, deleteContainer } from "./delete.ts";
export { execInContainer } from "./exec.ts";
export { keepFailure } from "./keep-failure.ts";
export { killContainer } from "./kill.ts";
export type {
  ContainerStdio,
  CreateOptions,
  ExecOptions,
  OverlayMount,
  RunningContainer,
  StartedProcess,
} from "./options.ts";
export { startContainer } from "./start.ts";
export { containerState, listContainers } from "./state.ts";
