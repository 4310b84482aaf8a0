/** Finds a port of the host for each binding that is free everywhere, and has it held. */
import type { EngineError } from "../../core/errors.ts";
import type { EphemeralPorts, PortOwner, PortTable } from "./allocation.ts";
import { type Binding, type PublishTarget, publishedPort, routedPort, socketOf } from "./binding.ts";
import type { HeldSockets } from "./held-sockets.ts";
import type { PublishedPort } from "./port.ts";
import type { SocketGroup } from "./proxy/protocol.ts";
import { noPortLeft, portOfContainer, refusedByHost } from "./refusal.ts";

/** A binding with its port. */
export interface ChosenPort {
  binding: Binding;
  hostPort: number;
  published: PublishedPort[];
  sockets: SocketGroup;
}

interface Search {
  binding: Binding;
  candidates: Iterator<number>;
  /** Why the last candidate was not taken. */
  refusal: EngineError | undefined;
}

export interface ChooseOptions {
  owner: PortOwner;
  target: PublishTarget;
  table: PortTable;
  ephemeral: EphemeralPorts;
  held: HeldSockets;
}

/**
 * All bindings get their port, or none does. The proxy is asked for all at once, and again for those whose port another
 * program has, where there is a choice.
 * @throws EngineError that says who has the port.
 */
export async function choosePorts(bindings: readonly Binding[], options: ChooseOptions): Promise<ChosenPort[]> {
  const chosen: ChosenPort[] = [];
  let searches = bindings.map(
    (binding): Search => ({ binding, candidates: candidatesOf(binding, options.ephemeral), refusal: undefined }),
  );
  try {
    while (searches.length > 0) {
      const round: ChosenPort[] = [];
      chosen.push(...(await holdRound(searches, round, options)));
      const found = new Set(chosen.map(({ binding }) => binding));
      searches = searches.filter(({ binding }) => !found.has(binding));
    }
    // In the order in which they were asked for.
    const places = new Map(bindings.map((binding, place) => [binding, place]));
    return chosen.sort((a, b) => places.get(a.binding)! - places.get(b.binding)!);
  } catch (error) {
    await giveUp(chosen, options);
    throw error;
  }
}

/** Takes the next candidate of each. @returns those that are held. */
async function holdRound(searches: Search[], round: ChosenPort[], options: ChooseOptions): Promise<ChosenPort[]> {
  try {
    for (const search of searches) round.push(takeNext(search, options));
    const asked = round.filter(({ sockets }) => sockets.length > 0);
    const refused = asked.length === 0 ? [] : await options.held.hold(asked.map(({ sockets }) => sockets));
    const bySockets = new Map(round.map((chosen, index) => [chosen, searches[index]!]));
    const losers = new Set<ChosenPort>();
    let fatal: EngineError | undefined;
    for (const refusal of refused) {
      const loser = asked[refusal.group]!;
      losers.add(loser);
      const search = bySockets.get(loser)!;
      search.refusal = refusedByHost(refusal);
      if (refusal.errno !== "EADDRINUSE" || isFixed(search.binding)) fatal ??= search.refusal;
    }
    release([...losers], options);
    const winners = round.filter((each) => !losers.has(each));
    if (fatal === undefined) return winners;
    round.length = 0;
    await giveUp(winners, options);
    throw fatal;
  } catch (error) {
    release(round, options);
    throw error;
  }
}

function takeNext(search: Search, { owner, target, table }: ChooseOptions): ChosenPort {
  const { binding, candidates } = search;
  const { transport } = binding.request;
  const routed = binding.routed.map((address) => routedPort(binding, address));
  if (binding.addresses.length === 0) return { binding, hostPort: 0, published: routed, sockets: [] };
  for (let next = candidates.next(); next.done !== true; next = candidates.next()) {
    const hostPort = next.value;
    const other = table.ownerOf(transport, hostPort, binding.addresses);
    if (other !== undefined) {
      search.refusal = portOfContainer(binding, hostPort, other);
      continue;
    }
    const published = binding.addresses.map((address) => publishedPort(binding, address, hostPort, target));
    const sockets = published.flatMap((port) => socketOf(port, target) ?? []);
    table.take(transport, hostPort, binding.addresses, owner);
    return { binding, hostPort, published: [...published, ...routed], sockets };
  }
  throw isFixed(binding) && search.refusal !== undefined ? search.refusal : noPortLeft(binding, search.refusal);
}

function isFixed({ request: { hostPorts } }: Binding): boolean {
  return hostPorts !== undefined && hostPorts.first === hostPorts.last;
}

function* candidatesOf({ request }: Binding, ephemeral: EphemeralPorts): Generator<number> {
  if (request.hostPorts === undefined) yield* ephemeral.candidates(request.transport);
  else for (let port = request.hostPorts.first; port <= request.hostPorts.last; port++) yield port;
}

/** Whatever was taken is free again. */
async function giveUp(chosen: readonly ChosenPort[], options: ChooseOptions): Promise<void> {
  release(chosen, options);
  await options.held.drop(chosen.map(({ sockets }) => sockets));
}

function release(chosen: readonly ChosenPort[], { table }: ChooseOptions): void {
  for (const { binding, hostPort } of chosen) table.release(binding.request.transport, hostPort, binding.addresses);
}
