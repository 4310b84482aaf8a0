import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";

/** A start that is under way is let finish: only then is there something to signal, or to pause. */
export async function startSettled(context: Pick<EngineContext, "locks">, container: Container): Promise<void> {
  if (container.state.status === "starting") await context.locks.run(container.id, () => undefined);
}

/** Its restarts are done one after the other. */
export function restartLock({ id }: Pick<Container, "id">): string {
  return `restart ${id}`;
}

/** One that has ended only to be started again is let be: or whoever wants it to end would be told that it has. */
export async function restartSettled(context: Pick<EngineContext, "locks">, container: Container): Promise<void> {
  await startSettled(context, container);
  if (container.restarting && !container.isUp) await context.locks.run(restartLock(container), () => undefined);
}
