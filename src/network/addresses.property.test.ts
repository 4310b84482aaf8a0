import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { isEngineError } from "../core/errors.ts";
import { newId } from "../core/id.ts";
import {
  type Address,
  contains,
  formatAddress,
  formatSubnet,
  nthAddress,
  overlaps,
  parseSubnet,
  type Subnet,
  subnetOf,
  subnetSize,
} from "./address.ts";
import { AddressPool } from "./address-pool.ts";
import { parsePool, uniqueLocalPool } from "./ipam.ts";
import type { Network, NetworkRequest } from "./network.ts";
import type { Obstacle } from "./obstacles.ts";
import { planNetwork } from "./plan.ts";
import { networkRequest } from "./testing.ts";

/** fast-check prints the seed of a run that failed. */
const runs = { numRuns: 100 };

/** A subnet of at most 64 addresses, so that it is used up, and a part of it. */
const smallSubnet: fc.Arbitrary<{ subnet: Subnet; range: Subnet }> = fc
  .record({
    subnet: fc.constantFrom("10.9.0.0/26", "10.9.0.0/30", "10.9.0.64/28", "fd00:1::/122", "fd00:1::40/126"),
    skip: fc.bigInt({ min: 0n, max: 63n }),
    cut: fc.nat(4),
  })
  .map(({ subnet: text, skip, cut }) => {
    const subnet = parseSubnet(text);
    const within = nthAddress(subnet, skip % subnetSize(subnet));
    const most = subnet.family === 4 ? 32 : 128;
    return { subnet, range: subnetOf(within, Math.min(most, subnet.prefixLength + cut)) };
  });

type Step = { kind: "allocate" } | { kind: "take" | "release"; offset: bigint };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<Step>({ kind: "allocate" }) },
    fc.record({
      kind: fc.constantFrom("take" as const, "release" as const),
      offset: fc.bigInt({ min: 0n, max: 70n }),
    }),
  ),
  { maxLength: 300, size: "max" },
);

/** What happens to addresses, told by the simplest set there is. */
class Model {
  readonly used = new Set<string>();
  readonly givable: Address[];

  constructor(subnet: Subnet, range: Subnet) {
    const count = subnetSize(subnet);
    const all = Array.from({ length: Number(count) }, (_, n) => nthAddress(subnet, BigInt(n)));
    this.givable = all.slice(1, subnet.family === 4 ? -1 : undefined).filter((address) => contains(range, address));
  }

  get free(): number {
    return this.givable.filter((address) => !this.used.has(formatAddress(address))).length;
  }
}

describe("an address pool", () => {
  test("gives each address once, of the range, until none is left", () => {
    fc.assert(
      fc.property(smallSubnet, steps, ({ subnet, range }, sequence) => {
        const pool = new AddressPool(subnet, [], range);
        const model = new Model(subnet, range);
        for (const step of sequence) {
          if (step.kind === "allocate") checkAllocation(pool, model, range);
          else if (step.kind === "take") checkTaking(pool, model, nthAddress(subnet, step.offset));
          else {
            const address = nthAddress(subnet, step.offset);
            pool.release(address);
            model.used.delete(formatAddress(address));
          }
          expect(pool.status().available).toBe(BigInt(model.free));
        }
      }),
      runs,
    );
  });

  test("gives an address that came back only when all others were given since", () => {
    fc.assert(
      fc.property(smallSubnet, fc.infiniteStream(fc.nat()), ({ subnet, range }, choices) => {
        const pool = new AddressPool(subnet, [], range);
        const count = Number(pool.status().available);
        fc.pre(count > 1);
        const held = Array.from({ length: count - 1 }, () => formatAddress(pool.allocate()));
        const order: string[] = [];
        for (const choice of choices.take(3 * count)) {
          const [given] = held.splice(choice % held.length, 1);
          order.push(given!);
          pool.release(parse(given!));
          const next = formatAddress(pool.allocate());
          // With one address free beside it, what was given back a step ago is never the next one.
          expect(next).not.toBe(given!);
          held.push(next);
        }
        expect(order.length).toBe(3 * count);
      }),
      runs,
    );
  });
});

function parse(text: string): Address {
  const subnet = parseSubnet(`${text}/${text.includes(":") ? 128 : 32}`);
  return { family: subnet.family, value: subnet.base };
}

function checkAllocation(pool: AddressPool, model: Model, range: Subnet): void {
  if (model.free === 0) {
    expect(() => pool.allocate()).toThrow("are in use");
    return;
  }
  const address = pool.allocate();
  const text = formatAddress(address);
  expect(contains(range, address)).toBe(true);
  expect(model.used.has(text)).toBe(false);
  expect(model.givable.map(formatAddress)).toContain(text);
  model.used.add(text);
}

function checkTaking(pool: AddressPool, model: Model, address: Address): void {
  const text = formatAddress(address);
  const last = pool.subnet.base + subnetSize(pool.subnet) - (pool.subnet.family === 4 ? 2n : 1n);
  if (!contains(pool.subnet, address) || address.value === pool.subnet.base || address.value > last) {
    expect(() => pool.take(address)).toThrow(`address ${text} is not one that subnet`);
  } else if (model.used.has(text)) {
    expect(() => pool.take(address)).toThrow(`address ${text} is already in use`);
  } else {
    pool.take(address);
    model.used.add(text);
  }
}

const pools = [parsePool("10.1.0.0/22 size 24"), parsePool("10.2.0.0/23 size 26"), uniqueLocalPool("fd00:1:2::/48")];

const subnetText: fc.Arbitrary<string> = fc.oneof(
  fc
    .tuple(fc.constantFrom(1, 2, 3), fc.nat(255), fc.nat(255), fc.integer({ min: 14, max: 32 }))
    .map(([a, b, c, length]) => formatSubnet(parseSubnet(`10.${a}.${b}.${c}/${length}`))),
  fc
    .tuple(fc.nat(3), fc.integer({ min: 44, max: 128 }))
    .map(([a, length]) => formatSubnet(parseSubnet(`fd00:1:2:${a}::/${length}`))),
);

const wishes: fc.Arbitrary<Partial<NetworkRequest>> = fc.record(
  {
    driver: fc.constantFrom("bridge", "bridge", "macvlan", "ipvlan"),
    subnets: fc.array(
      subnetText.map((subnet) => ({ subnet })),
      { maxLength: 2 },
    ),
    enableIpv4: fc.boolean(),
    enableIpv6: fc.boolean(),
  },
  { requiredKeys: ["driver", "subnets"] },
);

const obstacle: fc.Arbitrary<Obstacle> = subnetText.map((text) => ({
  subnet: parseSubnet(text),
  what: `route ${text}`,
}));

describe("planning", () => {
  test("makes networks whose subnets overlap with no other's, and of bridges with nothing on the host", () => {
    let made = 0;
    fc.assert(
      fc.property(
        fc.array(wishes, { maxLength: 25, size: "max" }),
        fc.array(obstacle, { maxLength: 5 }),
        (list, obstacles) => {
          const networks: Network[] = [];
          for (const [index, wish] of list.entries()) {
            const planned = tryPlan({ ...wish, name: `n${index}` }, networks, obstacles);
            if (planned === undefined) continue;
            made++;
            checkPlanned(planned, wish, networks, obstacles);
            networks.push(planned);
          }
        },
      ),
      runs,
    );
    // Not everything may be refused.
    expect(made).toBeGreaterThan(runs.numRuns);
  });

  test("uses a pool up before it says that there is none", () => {
    fc.assert(
      fc.property(fc.array(obstacle, { maxLength: 6, size: "max" }), (obstacles) => {
        const networks: Network[] = [];
        for (let index = 0; ; index++) {
          const wish = { name: `n${index}`, enableIpv6: false };
          const planned = tryPlan(wish, networks, obstacles);
          if (planned === undefined) break;
          networks.push(planned);
        }
        const taken = [
          ...networks.map(({ subnets }) => parseSubnet(subnets[0]!.subnet)),
          ...obstacles.map((each) => each.subnet),
        ];
        for (const pool of pools.filter(({ base }) => base.family === 4)) {
          const step = subnetSize({ ...pool.base, prefixLength: pool.prefixLength });
          for (let base = pool.base.base; base < pool.base.base + subnetSize(pool.base); base += step) {
            const candidate = { ...pool.base, base, prefixLength: pool.prefixLength };
            expect(taken.some((each) => overlaps(each, candidate))).toBe(true);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

function tryPlan(
  wish: Partial<NetworkRequest>,
  networks: readonly Network[],
  obstacles: readonly Obstacle[],
): Network | undefined {
  const request = networkRequest("x", wish);
  try {
    return planNetwork(request, { id: newId(), createdAt: "", networks, obstacles, pools });
  } catch (error) {
    if (!isEngineError(error)) throw error;
    expect(error.message).toMatch(/^network n\d+/);
    return undefined;
  }
}

function checkPlanned(
  planned: Network,
  wish: Partial<NetworkRequest>,
  networks: readonly Network[],
  obstacles: readonly Obstacle[],
): void {
  const subnets = planned.subnets.map(({ subnet }) => parseSubnet(subnet));
  const others = networks.flatMap((network) => network.subnets.map(({ subnet }) => parseSubnet(subnet)));
  const asked = wish.subnets ?? [];
  expect(subnets.length).toBeGreaterThan(0);
  for (const { subnet } of asked) expect(planned.subnets.map((each) => each.subnet)).toContain(subnet!);
  for (const [index, subnet] of subnets.entries()) {
    expect(subnets.slice(index + 1).some((other) => overlaps(other, subnet))).toBe(false);
    expect(others.some((other) => overlaps(other, subnet))).toBe(false);
    const isOutside = planned.driver !== "bridge" && asked.some((each) => each.subnet === formatSubnet(subnet));
    if (!isOutside) expect(obstacles.some((each) => overlaps(each.subnet, subnet))).toBe(false);
    const { gateway } = planned.subnets[index]!;
    if (planned.driver === "bridge") expect(contains(subnet, parse(gateway!))).toBe(true);
    expect(subnet.family === 4 ? planned.enableIpv4 : planned.enableIpv6).toBe(true);
  }
}
