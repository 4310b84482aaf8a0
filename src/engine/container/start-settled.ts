import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";

/** A start that is under way is let finish: only then is there something to signal, or to pause. */
export async function startSettled(context: Pick<EngineContext, "locks">, container: Container): Promise<void> {
  if (container.state.status === "starting") await context.locks.run(container.id, () => undefined);
}
