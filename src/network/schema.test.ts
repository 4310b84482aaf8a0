import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../core/database.ts";
import { NetworkRecords } from "./records.ts";
import { networkSchema } from "./schema.ts";

describe("the network's tables", () => {
  test("of a daemon that knew the default network alone keep its networks and its containers' places", () => {
    const directory = mkdtempSync("/var/tmp/tsd-schema-");
    const path = join(directory, "metadata.db");
    try {
      const before = openDatabase(path, [{ part: "network", steps: networkSchema.steps.slice(0, 1) }]);
      before.run(
        `INSERT INTO network VALUES ('n1', 'bridge', 'bridge', 'tsd0', '2026-01-01T00:00:00.000Z'),
           ('n2', 'host', 'host', NULL, '2026-01-01T00:00:00.000Z'), ('n3', 'none', 'null', NULL, '2026-01-01T00:00:00.000Z')`,
      );
      before.run("INSERT INTO network_subnet VALUES ('n1', '172.28.0.0/16', '172.28.0.1')");
      before.run("INSERT INTO network_sandbox VALUES ('s1', 'c1'), ('s2', 'c2'), ('s3', 'c3'), ('s4', NULL)");
      before.run(
        `INSERT INTO network_endpoint VALUES ('e1', 's1', 'n1', 'eth0', 'vethe1', '02:42:ac:1c:00:02'),
           ('e2', 's2', 'n2', NULL, NULL, NULL), ('e3', 's3', 'n3', NULL, NULL, NULL),
           ('e4', 's4', 'n1', 'eth0', 'vethe4', '02:42:ac:1c:00:03')`,
      );
      before.run("INSERT INTO network_address VALUES ('n1', '172.28.0.2', 16, 'e1'), ('n1', '172.28.0.3', 16, 'e4')");
      before.run("INSERT INTO network_host_setting VALUES ('net.ipv4.ip_forward', '0')");
      before.close();

      const database = openDatabase(path, [networkSchema]);
      const records = new NetworkRecords(database);
      const [bridge, host, none] = records.networks();
      expect(bridge).toMatchObject({
        name: "bridge",
        device: "tsd0",
        isBuiltIn: true,
        enableIpv4: true,
        enableIpv6: false,
        subnets: [{ subnet: "172.28.0.0/16", gateway: "172.28.0.1" }],
      });
      expect([host!.driver, none!.driver]).toEqual(["host", "null"]);
      expect(records.sandboxes().map(({ containerId, kind }) => [containerId, kind])).toEqual([
        ["c1", "networks"],
        ["c2", "host"],
        ["c3", "none"],
        [null, "networks"],
      ]);
      expect(records.sandboxOf("c1")).toMatchObject({
        ports: [],
        dns: { servers: [], search: [], options: [] },
        endpoints: [
          {
            id: "e1",
            networkId: "n1",
            interface: "eth0",
            hostInterface: "vethe1",
            ipv4: { address: "172.28.0.2", prefixLength: 16 },
            wishes: { names: [], gatewayPriority: 0 },
          },
        ],
      });
      expect(records.hostSettings()).toEqual([{ name: "net.ipv4.ip_forward", previous: "0" }]);
      database.close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
