import type { ContainerWaitResponse, WaitCondition } from "../../api/schema/container.ts";
import type { Container, ExitResult } from "./container.ts";

/** Registers the waiting at once; the answer comes when the condition is met. */
export function waitContainer(
  container: Container,
  condition: WaitCondition,
  signal: AbortSignal,
): Promise<ContainerWaitResponse> {
  if (condition === "removed") return container.removal(signal).then(waitResponse);
  const over = condition === "not-running" && !container.isUp;
  return over ? Promise.resolve(waitResponse(container.lastExit)) : container.nextExit(signal).then(waitResponse);
}

export function waitResponse(result: ExitResult): ContainerWaitResponse {
  return {
    StatusCode: result.exitCode,
    ...(result.error !== undefined && { Error: { Message: result.error } }),
  };
}
