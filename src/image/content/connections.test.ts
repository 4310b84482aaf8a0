import { describe, expect, test } from "bun:test";
import { Connections } from "./connections.ts";

const MiB = 2 ** 20;

describe("connections to a registry", () => {
  test("far away are several, bounded for the host and for all", () => {
    const connections = new Connections();
    const taken: Disposable[] = [];
    for (const name of ["a", "b", "c"]) {
      for (let one = connections.host(name).extra(); one; one = connections.host(name).extra()) taken.push(one);
      expect(taken.length).toBe(name === "a" ? 4 : 8);
    }
    taken[0]![Symbol.dispose]();
    expect([connections.host("b").extra(), connections.host("a").extra() !== undefined]).toEqual([undefined, true]);
  });

  test("far away ask for more where the wait is long and the line is wide", () => {
    const host = new Connections().host("registry.example");
    host.note(100, 50, MiB);
    expect(host.rangeBytes).toBe(2 * MiB);
    for (let count = 0; count < 10; count++) host.note(100, 50, host.rangeBytes);
    expect(host.rangeBytes).toBe(32 * MiB);
    for (let count = 0; count < 10; count++) host.note(100, 4000, MiB);
    expect(host.rangeBytes).toBe(MiB);
  });

  test("near by are one, which asks for little, whatever a busy machine does", async () => {
    const host = new Connections().host("registry.example");
    for (const waited of [3, 300, 40]) host.note(waited, 10, MiB);
    expect([host.isNear, host.rangeBytes, host.extra()]).toEqual([true, MiB, undefined]);
    const { signal } = new AbortController();
    const first = await host.turn(signal);
    let hasTurn = false;
    const second = host.turn(signal).then((turn) => {
      hasTurn = true;
      return turn;
    });
    await Bun.sleep(1);
    expect(hasTurn).toBe(false);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    // One that takes long holds up nobody.
    await host.turn(signal);
    (await host.turn(signal))[Symbol.dispose]();
  });

  test("to this machine are near before anything is known, and far through a tunnel", () => {
    const connections = new Connections();
    const near = ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.9.10", "[::1]:5000"];
    expect(near.filter((name) => !connections.host(name).isNear)).toEqual([]);
    for (const name of ["registry.example", "10.0.0.1:5000", "localhost.example", "127.0.0.1.example"]) {
      expect(connections.host(name).isNear).toBe(false);
    }
    connections.host("localhost:5000").note(80, 10, MiB);
    expect(connections.host("localhost:5000").isNear).toBe(false);
  });
});
