import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { HostFiles } from "./host-files.ts";
import type { UserNamespace } from "./mapping.ts";
import { UserRanges } from "./ranges.ts";
import { SpareUserNamespace } from "./spare.ts";

let directory: string;
let ranges: UserRanges;
let spare: SpareUserNamespace;
/** What was made ahead, in order. */
let made: { namespace: Fd; start: number; isConnected?: boolean }[];
let failure: Error | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-spare-"));
  for (const name of ["subuid", "subgid"]) writeFileSync(join(directory, name), "containers:1000:30\n");
  ranges = new UserRanges(new HostFiles(directory), "/var/lib/tsd");
  made = [];
  failure = undefined;
  spare = new SpareUserNamespace({
    ranges,
    make: ({ uids }) => {
      const namespace = open("/dev/null", O_RDONLY);
      made.push({ namespace, start: uids[0]!.hostID });
      return namespace;
    },
    prepare: (_namespace, isConnected) => {
      if (failure !== undefined) throw failure;
      made.at(-1)!.isConnected = isConnected;
    },
  });
  jest.useFakeTimers();
});

afterEach(() => {
  spare.close();
  jest.useRealTimers();
  rmSync(directory, { recursive: true });
  expect(made.filter(({ namespace }) => !namespace.closed)).toEqual([]);
});

function refill(users: UserNamespace, isConnected = true): void {
  spare.refill({ users, isConnected });
  jest.advanceTimersByTime(1000);
}

const start = ({ uids }: UserNamespace) => uids[0]!.hostID;

describe("a spare user namespace", () => {
  test("has the users that the next container gets, and is that one's", () => {
    const first = spare.give("a", 10);
    expect(spare.take(first)).toBeUndefined();
    refill(first);
    expect(made).toMatchObject([{ start: 1010, isConnected: true }]);
    const second = spare.give("b", 10);
    expect([start(first), start(second)]).toEqual([1020, 1010]);
    const namespace = spare.take(second);
    expect(namespace).toBe(made[0]!.namespace);
    expect(spare.take(second)).toBeUndefined();
    namespace!.close();
    // They are taken as long as the container is there.
    expect(start(spare.give("c", 10))).toBe(1000);
    expect(() => spare.give("d", 10)).toThrow("3 containers have some of 30");
    ranges.release("b");
    expect(start(spare.give("d", 10))).toBe(1010);
  });

  test("is nobody's whose users are others, and gives way where there are no more users", () => {
    const first = spare.give("a", 10);
    refill(first);
    expect(start(spare.give("b", 9))).toBe(1001);
    expect(start(spare.give("c", 10))).toBe(1010);
    refill(first);
    expect(made).toHaveLength(1);
    ranges.release("c");
    refill(first);
    expect(made).toHaveLength(2);
    expect(start(spare.give("d", 9))).toBe(1011);
    expect(made[1]!.namespace.closed).toBe(true);
  });

  test("is made anew where the last container was on another network, or had fewer users", () => {
    const first = spare.give("a", 10);
    refill(first);
    refill(first);
    expect(made).toHaveLength(1);
    refill(first, false);
    refill(spare.give("b", 5), false);
    expect(made.map(({ isConnected, namespace }) => [isConnected, namespace.closed])).toEqual([
      [true, true],
      [false, true],
      [false, false],
    ]);
  });

  test("with the daemon's own users is there for each container once", () => {
    const mapping = [{ containerID: 0, hostID: 5000, size: 10 }];
    const users = { uids: mapping, gids: mapping };
    refill(users);
    refill(users);
    expect(made).toHaveLength(1);
    spare.take(structuredClone(users))!.close();
    expect(spare.take(users)).toBeUndefined();
    refill(users);
    expect(made).toHaveLength(2);
  });

  test("that cannot be made leaves nothing taken", () => {
    const first = spare.give("a", 10);
    failure = new Error("no network");
    refill(first);
    expect(made[0]!.namespace.closed).toBe(true);
    expect([start(spare.give("b", 10)), start(spare.give("c", 10))].sort()).toEqual([1000, 1010]);
  });
});
