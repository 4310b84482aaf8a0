import type { Fd } from "../../ffi/fd.ts";
import { connectUnix, sendDescriptors } from "../../ffi/scm.ts";
import { EngineError, wrapError } from "../core/errors.ts";
import type { LinuxSeccomp, OciState } from "../oci/runtime.ts";

/**
 * Hands seccomp's listener to the agent at `listenerPath`, with the container process state of config-linux.md,
 * "The Container Process State".
 */
export function sendSeccompListener(received: Fd, seccomp: LinuxSeccomp | undefined, state: OciState): void {
  using listener = received;
  if (!seccomp?.listenerPath) {
    throw new EngineError("invalid_argument", "linux.seccomp.listenerPath: missing: SCMP_ACT_NOTIFY needs an agent");
  }
  const message = JSON.stringify({
    ociVersion: state.ociVersion,
    fds: ["seccompFd"],
    pid: state.pid,
    metadata: seccomp.listenerMetadata ?? "",
    state,
  });
  try {
    using socket = connectUnix(seccomp.listenerPath);
    sendDescriptors(socket, message, [listener]);
  } catch (error) {
    throw wrapError(error, "linux.seccomp.listenerPath");
  }
}
