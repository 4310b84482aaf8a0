import type { EventInitiator, EventMessage } from "../../api/schema/event.ts";
import type { Initiator } from "../../core/initiator.ts";
import { inKeyOrder } from "../../core/key-order.ts";
import type { EngineEvent, EventBus } from "./bus.ts";

/** The service that the API's event route calls: the bus in the Engine API's words. */
export class EventService {
  readonly #bus: EventBus;

  constructor(bus: EventBus) {
    this.#bus = bus;
  }

  /** From this call on, not only from the first read; times in nanoseconds since the epoch. */
  subscribe(
    options: { sinceNano?: bigint; untilNano?: bigint },
    signal: AbortSignal,
  ): AsyncGenerator<EventMessage, void, void> {
    const { sinceNano, untilNano } = options;
    const events = this.#bus.subscribe({
      signal,
      // Rounded up: an event of the same microsecond before the instant is not "since" it.
      ...(sinceNano !== undefined && { sinceMicros: Number((sinceNano + 999n) / 1000n) }),
      ...(untilNano !== undefined && { untilMicros: Number(untilNano / 1000n) }),
    });
    return (async function* () {
      for await (const event of events) yield eventMessage(event);
    })();
  }
}

function eventMessage({ type, action, actor, timeMicros, initiator }: EngineEvent): EventMessage {
  return {
    Type: type,
    Action: action,
    Actor: { ID: actor.id, Attributes: inKeyOrder(actor.attributes) },
    scope: "local",
    time: Math.floor(timeMicros / 1e6),
    timeNano: BigInt(timeMicros) * 1000n,
    ...(initiator && { Initiator: initiatorView(initiator) }),
  };
}

export function initiatorView(initiator: Initiator): EventInitiator {
  if (initiator.kind === "engine") return { Kind: "engine", Reason: initiator.reason };
  const { uid, gid, pid, command } = initiator;
  return { Kind: "client", Uid: uid, Gid: gid, Pid: pid, Command: command };
}
