import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostServers } from "./host-servers.ts";
import { inOrder, Upstream } from "./upstream.ts";

describe("the host's name servers", () => {
  let directory: string;
  let path: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "tsd-servers-"));
    path = join(directory, "resolv.conf");
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test("are those of resolv.conf as it is now: written, replaced, gone", () => {
    const host = new HostServers(path);
    let now = 0;
    const named = () => {
      now += 500;
      return host.servers(now).map(({ name }) => name);
    };
    expect(named()).toEqual(["8.8.8.8", "8.8.4.4"]);
    writeFileSync(
      path,
      "# none yet\nnameserver 127.0.0.53\nnameserver ::1\nsearch a.b\nnameserver fe80::1%lo\nnameserver 9.9.9.9\n",
    );
    expect(named()).toEqual(["127.0.0.53", "::1", "fe80::1%lo"]);
    expect(host.servers(now)[2]!.address).toMatchObject({ scope: 1, port: 53 });
    writeFileSync(`${path}.new`, "nameserver 192.0.2.1\n");
    renameSync(`${path}.new`, path);
    expect(named()).toEqual(["192.0.2.1"]);
    writeFileSync(path, "nameserver x\nnameserver fe80::1%nosuch0\n");
    expect(named()).toEqual(["8.8.8.8", "8.8.4.4"]);
    rmSync(path);
    expect(named()).toEqual(["8.8.8.8", "8.8.4.4"]);
  });

  test("are looked at no more often than twice a second, and kept where they cannot be read", () => {
    writeFileSync(path, "nameserver 192.0.2.1\n");
    const host = new HostServers(path);
    const known = host.servers(0);
    writeFileSync(path, "nameserver 192.0.2.2\n");
    expect(host.servers(499)).toBe(known);
    expect(host.servers(500)).not.toBe(known);
    const inAFile = new HostServers(join(path, "resolv.conf"));
    expect(inAFile.servers(0).map(({ name }) => name)).toEqual(["8.8.8.8", "8.8.4.4"]);
  });

  test("are asked in their order, but for one that was silent three times: it comes last for five seconds", () => {
    const servers = ["a", "b"].map((name) => new Upstream(name, { address: Uint8Array.of(192, 0, 2, 1) }));
    const order = (now: number) =>
      inOrder(servers, now)
        .map(({ name }) => name)
        .join("");
    servers[0]!.wasSilent(0);
    servers[0]!.wasSilent(1);
    expect(order(2)).toBe("ab");
    servers[0]!.wasSilent(2);
    expect([order(3), order(5_001), order(5_002)]).toEqual(["ba", "ba", "ab"]);
    servers[0]!.wasSilent(6_000);
    expect(order(6_001)).toBe("ba");
    servers[0]!.answered();
    expect(order(6_002)).toBe("ab");
  });
});
