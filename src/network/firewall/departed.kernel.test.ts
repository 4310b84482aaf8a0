import { afterEach, describe, expect, test } from "bun:test";
import { parseAddress } from "../address.ts";
import { outsideAddress, run } from "../testbed.ts";
import { DepartedAddresses } from "./departed.ts";
import { type Container, hear, Lab, noAnswer, outside6, serveAll } from "./lab.ts";

describe.skipIf(process.getuid?.() !== 0)("flows of addresses that were given back", () => {
  let departed: DepartedAddresses;
  const lab = new Lab(() => {
    lab.makeFirewall().setBridge(lab.bridge(1));
    departed = new DepartedAddresses();
  });
  afterEach(() => departed[Symbol.dispose]());

  /** Once to the outside in each family. */
  async function talk({ namespace: from }: Container): Promise<void> {
    for (const to of [outsideAddress, outside6]) {
      expect(await hear({ from, to, port: 80, transport: "udp" })).not.toBe(noAnswer);
    }
  }
  const flows = (container: Container): number =>
    run("cat", "/proc/thread-self/net/nf_conntrack")
      .split("\n")
      .filter((line) => [container.ipv4, longForm(container.ipv6)].some((text) => line.includes(`src=${text} `)))
      .length;

  test("are ended in the background, and nobody else's", async () => {
    const [a, b] = [lab.container(1, 2), lab.container(1, 3)];
    using _outside = await serveAll(lab.outsideNamespace, 80);
    await talk(a);
    await talk(b);
    expect([flows(a), flows(b)]).toEqual([2, 2]);
    departed.add(parseAddress(a.ipv4));
    departed.add(parseAddress(a.ipv6));
    await departed.settled();
    expect([flows(a), flows(b)]).toEqual([0, 2]);
  });

  test("are ended at once for who gets the address, whose own stay", async () => {
    const a = lab.container(1, 2);
    using _outside = await serveAll(lab.outsideNamespace, 80);
    const both = [a.ipv4, a.ipv6].map(parseAddress);
    for (const isUnderWay of [false, true]) {
      await talk(a);
      for (const address of both) departed.add(address);
      const settled = isUnderWay ? departed.settled() : undefined;
      for (const address of both) departed.claim(address);
      expect(flows(a)).toBe(0);
      await talk(a);
      await settled;
      await departed.settled();
      expect(flows(a)).toBe(2);
    }
    // One that nobody gave back is not looked for.
    departed.claim(both[0]!);
    expect(flows(a)).toBe(2);
  });
});

/** As the kernel prints it there. */
function longForm(address: string): string {
  const [left = [], right = []] = address.split("::").map((part) => part.split(":"));
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  return [...left, ...zeros, ...right].map((group) => group.padStart(4, "0")).join(":");
}
