import type { EventMessage } from "../schema/event.ts";
import type { SystemInfo, VersionResponse } from "../schema/system.ts";

export interface SystemBackend {
  version(): Promise<VersionResponse>;
  info(): Promise<SystemInfo>;
}

export interface EventOptions {
  /** Begin with the events kept since this instant, in nanoseconds since the epoch; absent: only new ones. */
  sinceNano?: bigint;
  /** End with this instant, which may lie in the future. */
  untilNano?: bigint;
}

export interface EventBackend {
  /**
   * Every event from now on; the subscription begins with the call and not with the first read. The routes filter.
   * Ends at `untilNano` or when `signal` aborts. A reader that does not keep up is ended, not waited for.
   */
  subscribe(options: EventOptions, signal: AbortSignal): AsyncIterable<EventMessage>;
}
