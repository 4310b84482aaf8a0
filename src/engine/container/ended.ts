import type { ShimPart } from "../parts.ts";
import type { Container } from "./container.ts";

/** Whether the container has ended, also where that is not on record yet: then what was asked of it came too late. */
export async function isOver(container: Container, shim: ShimPart): Promise<boolean> {
  if (container.state.status !== "running" || shim.isClosed) return true;
  try {
    return (await shim.state()).exit !== null;
  } catch {
    // With the shim goes the container.
    return true;
  }
}
