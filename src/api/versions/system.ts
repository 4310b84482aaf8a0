/** Info and events as a client of a given API version expects to read them. */
import type { EventMessage } from "../schema/event.ts";
import type { SystemInfo } from "../schema/system.ts";

export function infoOf(info: SystemInfo, api: number): object {
  const { FirewallBackend, DiscoveredDevices, ...rest } = info;
  return {
    ...rest,
    ...(api >= 49 ? { FirewallBackend } : expectedCommits(info)),
    ...(api >= 50 ? { DiscoveredDevices } : { BridgeNfIptables: false, BridgeNfIp6tables: false }),
  };
}

/** Clients before API 1.49 warn when a component is not the one that the daemon expects. */
function expectedCommits({ ContainerdCommit, RuncCommit, InitCommit }: SystemInfo): object {
  const expected = (commit: { ID: string }) => ({ ...commit, Expected: commit.ID });
  return {
    ContainerdCommit: expected(ContainerdCommit),
    RuncCommit: expected(RuncCommit),
    InitCommit: expected(InitCommit),
  };
}

/** One JSON line without its end. `timeNano` is beyond what a double holds, hence a raw number. */
export function eventLine(event: EventMessage, api: number): string {
  const { Type, Action, Actor, scope, time, timeNano, Initiator } = event;
  const container = Type === "container";
  return JSON.stringify({
    // The fields of before API 1.22, written until 1.52.
    ...(api < 52 && (container || Type === "image") && { status: Action, id: Actor.ID }),
    ...(api < 52 && container && { from: Actor.Attributes.image }),
    Type,
    Action,
    Actor,
    scope,
    time,
    timeNano: JSON.rawJSON(timeNano.toString()),
    ...(Initiator && { Initiator }),
  });
}
