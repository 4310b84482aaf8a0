/** What a daemon starts when it has found out what there is: whatever its restart policy wants to run. */
import { availableParallelism } from "node:os";
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { Slots } from "../../image/shared-work.ts";
import type { EngineContext } from "../context.ts";
import { ComposeServices, type Dependency, dependenciesOf, inOrder, type Ordered } from "./boot-order.ts";
import type { Container } from "./container.ts";
import { restartingFrom } from "./exit.ts";
import { startsAtBoot } from "./restart-policy.ts";
import { restartByPolicy } from "./start.ts";

/** How many start at the same time: more would only wait for each other. */
const atOnce = 2 * availableParallelism();
/** What depends on a container that becomes neither healthy nor unhealthy, or does not end, is then started all the same. */
const patienceMs = 5 * 60_000;

/**
 * Those whose policy waits for a later moment wait for it. The others are started, after those that they depend on:
 * that decides in which order, and not whether. The signal ends the waiting: the next daemon goes on with it.
 */
export async function startAtBoot(context: EngineContext, signal: AbortSignal): Promise<void> {
  const { containers } = context;
  const all = containers.all();
  const due = all.filter((container) => isDue(context, container));
  if (due.length === 0) return;
  const services = new ComposeServices(all);
  const order = inOrder(due, (container) => dependenciesOf(containers, services, container));
  const slots = new Slots(atOnce);
  const started = new Map<Container, Promise<void>>();
  for (const { container, waitsFor } of order) {
    const starting = ready(context, { container, waitsFor }, started, signal).then(() =>
      slots.run(async () => {
        if (!signal.aborted) await start(context, container);
      }),
    );
    started.set(container, starting);
  }
  await Promise.all(started.values());
}

/**
 * Whether it is to be started now. It then counts as restarting, so that whoever wants it to stay as it is can say so
 * before its turn comes.
 */
function isDue({ containers, restarts }: EngineContext, container: Container): boolean {
  const { state, definition } = container;
  if (state.status === "restarting") {
    if (Date.parse(state.restartAt) <= Date.now()) return true;
    restarts.schedule(container);
    return false;
  }
  if (state.status !== "exited" || !startsAtBoot(definition.hostConfig.RestartPolicy, state)) return false;
  containers.setStateSoon(container, restartingFrom(state, { count: 0, delayMs: 0 }));
  return true;
}

async function ready(
  context: EngineContext,
  { container, waitsFor }: Ordered,
  started: ReadonlyMap<Container, Promise<void>>,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    waitsFor.map(async (dependency) => {
      await started.get(dependency.on);
      if (isMet(dependency) || (await becomesMet(context, dependency, signal)) || signal.aborted) return;
      const { on, condition } = dependency;
      const fields = { container: container.id, dependency: on.id, condition };
      log("warn", "started a container although what it depends on is not ready", fields);
    }),
  );
}

/** Whether there is nothing to be waited for any longer: also that of one that does not run. */
function isMet({ on, condition }: Dependency): boolean {
  switch (condition) {
    case "started":
      return true;
    case "healthy":
      // One that waits for its policy is not asked how it is.
      return !on.isUp || (on.state.status === "running" && on.health?.status !== "starting");
    case "completed":
      return !on.isUp;
  }
}

/** @returns false when that took too long, or the daemon ends. */
async function becomesMet({ events }: EngineContext, dependency: Dependency, signal: AbortSignal): Promise<boolean> {
  const { on } = dependency;
  const met = Promise.withResolvers<boolean>();
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  const look = () => {
    if (isMet(dependency)) met.resolve(true);
    else if (signal.aborted) met.resolve(false);
  };
  const patience = setTimeout(() => met.resolve(false), patienceMs).unref();
  signal.addEventListener("abort", look);
  const unobserve = events.observe(({ actor }) => {
    if (actor.id === on.id) look();
  });
  // A restart that is given up, or fails, is an end without an event.
  void (async () => {
    for (; !ended.aborted; look()) await on.nextExit(ended);
  })();
  try {
    look();
    return await met.promise;
  } finally {
    over.abort();
    clearTimeout(patience);
    signal.removeEventListener("abort", look);
    unobserve();
  }
}

/** One that cannot be started has the reason on record. Somebody may have come first. */
async function start(context: EngineContext, container: Container): Promise<void> {
  try {
    await restartByPolicy(context, container);
    // Another one that it cannot be started without is not there yet.
    context.restarts.schedule(container);
  } catch (error) {
    log("warn", "could not start a container that its restart policy wants to run", {
      container: container.id,
      error: errorMessage(error),
    });
  }
}
