/** A bus of events by itself, for tests of services that publish. */
import { openDatabase } from "../../core/database.ts";
import { EventBus } from "../event/bus.ts";
import { defaultEventRetention, EventHistory, eventSchema } from "../event/history.ts";

export function eventBus(): EventBus {
  return new EventBus(new EventHistory(openDatabase(":memory:", [eventSchema]), defaultEventRetention));
}
