import { describe, expect, spyOn, test } from "bun:test";
import type { Fd } from "../../../ffi/fd.ts";
import { createNetworkNamespace } from "../../../ffi/namespace.ts";
import { newId } from "../../core/id.ts";
import { parseSubnet } from "../address.ts";
import type { Networks } from "../networks.ts";
import { Rig } from "../rig.ts";
import { ask, hostAddress, outsideAddress, run, serve, within } from "../testbed.ts";
import { attach as attachTo } from "../testing.ts";
import type { Firewall } from "./firewall.ts";
import { ForeignFirewalls } from "./foreign.ts";
import { everywhere, hearBoth, host6, Lab, noAnswer, outside6, quickMs, serveAll } from "./lab.ts";

/** What a running dockerd has in iptables that matters here: its policy, its chains, a network of its own. */
const dockerd = `
  iptables -P FORWARD DROP
  iptables -N DOCKER-USER
  iptables -N DOCKER
  iptables -A FORWARD -j DOCKER-USER
  iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  iptables -A FORWARD -o docker0 -j DOCKER
  iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
  iptables -A DOCKER ! -i docker0 -o docker0 -j DROP
  ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up`;

describe.skipIf(process.getuid?.() !== 0)("beside a firewall that drops what it does not know", () => {
  let networks: Networks;
  const rig = new Rig(() => {
    networks = rig.make();
  });

  const shell = (script: string): string => run("sh", "-ec", script);
  const attach = async (): Promise<string> => (await attachTo(networks, newId())).namespacePath;
  /** A container of another engine on its bridge. */
  function container(bridge: string, address: string, gateway: string): Disposable & { namespace: Fd } {
    const namespace = createNetworkNamespace();
    const path = `/proc/${process.pid}/fd/${namespace.number}`;
    shell(`ip link add other master ${bridge} up type veth peer name eth0 netns ${path}`);
    const script = `ip addr add ${address} dev eth0; ip link set eth0 up; ip route add default via ${gateway}`;
    within(namespace, () => shell(script));
    shell("ip link show dev other");
    return { namespace, [Symbol.dispose]: () => namespace.close() };
  }
  /** What a container hears from the outside and from another container. */
  async function reach(a: string, b: { path: string; ipv4: string }): Promise<string[]> {
    using _outside = serve(rig.bed.outside, 8001);
    using _inside = serve(b.path, 8002);
    const timeoutMs = 3_000;
    return [await ask(a, outsideAddress, 8001, timeoutMs), await ask(a, b.ipv4, 8002, timeoutMs)];
  }

  test("an accept in tsd's own table alone does not help: the drop has the last word", async () => {
    const a = await attach();
    shell("iptables -P FORWARD DROP");
    using _outside = serve(rig.bed.outside, 8001);
    expect(await ask(a, outsideAddress, 8001, 300)).toBe("no answer");
    shell("iptables -P FORWARD ACCEPT");
    expect(await ask(a, outsideAddress, 8001)).toBe(hostAddress);
  });

  test("dockerd's: traffic works, by rules in DOCKER-USER that iptables can read and remove", async () => {
    shell(dockerd);
    const before = run("iptables", "-S");
    const a = await attach();
    const b = await attachTo(networks, newId());
    expect(await reach(a, { path: b.namespacePath!, ipv4: b.ipv4! })).toEqual([hostAddress, "172.28.0.2"]);
    expect(networks.warnings()).toEqual([]);
    expect(run("iptables", "-S", "DOCKER-USER").trim().split("\n")).toEqual([
      "-N DOCKER-USER",
      '-A DOCKER-USER -i tsd0 -o docker+ -m comment --comment "tsd: bridge tsd0" -j RETURN',
      '-A DOCKER-USER -i tsd0 -o br-+ -m comment --comment "tsd: bridge tsd0" -j RETURN',
      '-A DOCKER-USER -i tsd0 -m comment --comment "tsd: bridge tsd0" -j ACCEPT',
      '-A DOCKER-USER -o tsd0 -m comment --comment "tsd: bridge tsd0" -j ACCEPT',
    ]);
    // Docker's containers stay apart from tsd's, as dockerd's own rules have it.
    using docker = container("docker0", "172.17.0.2/16", "172.17.0.1");
    using _its = serve(docker.namespace, 8004);
    using _ours = serve(b.namespacePath!, 8005);
    expect(await ask(rig.bed.host, "172.17.0.2", 8004)).toBe("172.17.0.1");
    expect(await ask(a, "172.17.0.2", 8004, 300)).toBe("no answer");
    expect(await ask(docker.namespace, b.ipv4!, 8005, 300)).toBe("no answer");
    // Once is enough.
    await attach();
    expect(run("iptables", "-S", "DOCKER-USER").trim().split("\n").length).toBe(5);

    for (const { containerId } of networks.members(networks.find("bridge").id)) await networks.detach(containerId);
    await networks.close();
    expect(run("iptables", "-S")).toBe(before);
  });

  test("dockerd's, with the administrator's own rules: those come first, and the last RETURN stays last", async () => {
    shell(dockerd);
    shell(
      `iptables -A DOCKER-USER -d ${outsideAddress} -p tcp --dport 8003 -j DROP; iptables -A DOCKER-USER -j RETURN`,
    );
    const a = await attach();
    using _allowed = serve(rig.bed.outside, 8001);
    using _forbidden = serve(rig.bed.outside, 8003);
    expect(await ask(a, outsideAddress, 8001)).toBe(hostAddress);
    expect(await ask(a, outsideAddress, 8003, 300)).toBe("no answer");
    const rules = run("iptables", "-S", "DOCKER-USER").trim().split("\n");
    expect(rules[1]).toContain("--dport 8003 -j DROP");
    expect(rules.at(-1)).toBe("-A DOCKER-USER -j RETURN");
    expect(rules.length).toBe(7);
  });

  test("dockerd's, started after tsd or restarted: the next container opens the way again", async () => {
    const a = await attach();
    shell(dockerd);
    using _outside = serve(rig.bed.outside, 8001);
    expect(await ask(a, outsideAddress, 8001, 300)).toBe("no answer");
    await attach();
    expect(await ask(a, outsideAddress, 8001)).toBe(hostAddress);
    shell("iptables -F DOCKER-USER");
    await attach();
    expect(await ask(a, outsideAddress, 8001)).toBe(hostAddress);
  });

  test("an administrator's drop policy is not touched: the warning says what drops and what to do, and that works", async () => {
    shell("iptables -P FORWARD DROP");
    const before = run("iptables", "-S");
    const a = await attach();
    expect(networks.warnings()).toEqual([
      "chain FORWARD of table ip filter drops the packets of containers on tsd0: its policy is drop. To let them pass: " +
        "iptables -I FORWARD -i tsd0 -j ACCEPT; iptables -I FORWARD -o tsd0 -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
    ]);
    expect(run("iptables", "-S")).toBe(before);
    shell(networks.warnings()[0]!.split("To let them pass: ")[1]!);
    using _outside = serve(rig.bed.outside, 8001);
    expect(await ask(a, outsideAddress, 8001)).toBe(hostAddress);
    await attach();
    expect(networks.warnings()).toEqual([]);
  });

  test("one of nft's own, by policy or by a last rule that rejects: the warning says so, and its advice works", async () => {
    const tables = [
      ["policy drop", "its policy is drop"],
      [
        "policy accept; counter reject with icmpx type admin-prohibited",
        "its last rule refuses what no other rule took",
      ],
    ];
    for (const [rules, why] of tables) {
      shell(`echo 'table inet mine { chain fw { type filter hook forward priority 10; ${rules}; }; }' | nft -f -`);
      const a = await attach();
      const [warning] = networks.warnings();
      expect(warning).toContain(`chain fw of table inet mine drops the packets of containers on tsd0: ${why}.`);
      using _outside = serve(rig.bed.outside, 8001);
      expect(await ask(a, outsideAddress, 8001, 300)).toBe("no answer");
      shell(warning!.split("To let them pass: ")[1]!);
      expect(await ask(a, outsideAddress, 8001)).toBe(hostAddress);
      shell("nft delete table inet mine");
    }
  });

  test("one that has rules for the bridge already, by name, by a beginning of it or in a set, is no reason to warn", async () => {
    const table = (rule: string): string =>
      `echo 'table inet mine { chain fw { type filter hook forward priority 10; policy drop; ${rule}; }; }' | nft -f -`;
    for (const rule of ['iifname "tsd0" accept', 'iifname "tsd*" accept', 'oifname { "eth1", "tsd0" } accept']) {
      shell(table(rule));
      await attach();
      expect(networks.warnings()).toEqual([]);
      shell("nft delete table inet mine");
    }
    shell(table('iifname { "tsd1", "eth1" } accept'));
    await attach();
    expect(networks.warnings().length).toBe(1);
  });

  test("iptables-legacy's, which is not in nf_tables: the warning says what to do, and that works", async () => {
    shell("iptables-legacy -P FORWARD DROP");
    const a = await attach();
    const [warning] = networks.warnings();
    expect(warning).toContain("chain FORWARD of iptables-legacy's table filter drops the packets");
    using _outside = serve(rig.bed.outside, 8001);
    expect(await ask(a, outsideAddress, 8001, 300)).toBe("no answer");
    shell(warning!.split("To let them pass: ")[1]!);
    expect(await ask(a, outsideAddress, 8001)).toBe(hostAddress);
  });

  test("no warning where nothing drops, and no table of iptables-legacy comes to be by looking", async () => {
    shell(
      "echo 'table inet mine { chain fw { type filter hook forward priority 0; ip saddr 10.0.0.1 drop; }; }' | nft -f -",
    );
    await attach();
    expect(networks.warnings()).toEqual([]);
    expect(run("cat", "/proc/net/ip_tables_names")).toBe("");
  });
});

describe.skipIf(process.getuid?.() !== 0)("beside a firewall that drops, with many bridges", () => {
  let firewall: Firewall;
  const lab = new Lab(() => {
    firewall = lab.makeFirewall();
  });
  const userRules = (program: string): string[] =>
    run(program, "-S", "DOCKER-USER")
      .split("\n")
      .filter((line) => line.includes("ACCEPT"))
      .map((line) => line.replace("-A DOCKER-USER ", "").replace(/ -m comment --comment "tsd: bridge (\S+)"/, " ($1)"))
      .sort();

  test("dockerd's: each bridge has rules of its own in DOCKER-USER, of both families, as long as it is there", async () => {
    for (const program of ["iptables", "ip6tables"]) {
      const script = "-P FORWARD DROP; -N DOCKER-USER; -A FORWARD -j DOCKER-USER; -A DOCKER-USER -j RETURN";
      for (const each of script.split("; ")) run(program, ...each.split(" "));
    }
    const before = [run("iptables", "-S"), run("ip6tables", "-S")];
    const onlyIpv4 = { ...lab.bridge(3), subnets: [parseSubnet("172.28.3.0/24")] };
    for (const rules of [lab.bridge(1), lab.bridge(2), onlyIpv4]) firewall.setBridge(rules);
    const of = (...bridges: number[]): string[] =>
      bridges.flatMap((n) => [`-i tsd${n} (tsd${n}) -j ACCEPT`, `-o tsd${n} (tsd${n}) -j ACCEPT`]).sort();
    expect([userRules("iptables"), userRules("ip6tables")]).toEqual([of(1, 2, 3), of(1, 2)]);
    expect(firewall.warnings()).toEqual([]);
    const container = lab.container(2, 2);
    using _outside = await serveAll(lab.outsideNamespace, 80);
    expect(await hearBoth({ from: container.namespace, to: outside6, port: 80 })).toBe(host6);
    firewall.check();
    firewall.removeBridge("tsd1");
    expect([userRules("iptables"), userRules("ip6tables")]).toEqual([of(2, 3), of(2)]);
    firewall.setBridge(lab.bridge(4));
    expect([userRules("iptables"), userRules("ip6tables")]).toEqual([of(2, 3, 4), of(2, 4)]);
    firewall.tearDown();
    expect([run("iptables", "-S"), run("ip6tables", "-S")]).toEqual(before);
  });

  test("an administrator's: one sentence names all bridges and one rule for all of them, which works", async () => {
    run("ip6tables", "-P", "FORWARD", "DROP");
    for (const number of [1, 2, 3]) firewall.setBridge(lab.bridge(number));
    const [warning, ...others] = firewall.warnings();
    expect(others).toEqual([]);
    expect(warning).toStartWith(
      "chain FORWARD of table ip6 filter drops the packets of containers on tsd1, tsd2, tsd3:",
    );
    expect(warning).toContain("ip6tables -I FORWARD -i tsd+ -j ACCEPT;");
    const container = lab.container(2, 2);
    using _inside = await serveAll(container.namespace, 80);
    firewall.publish(everywhere(container, 8080));
    const question = { from: lab.outsideNamespace, to: host6, port: 8080 };
    expect(await hearBoth({ ...question, timeoutMs: quickMs })).toBe(noAnswer);
    run("sh", "-ec", warning!.split("To let them pass: ")[1]!);
    expect(await hearBoth(question)).toBe(outside6);
    firewall.check();
    expect(firewall.warnings()).toEqual([]);
    // An nft of the administrator's own.
    const table = "table inet mine { chain fw { type filter hook forward priority 10; policy drop; }; }";
    run("sh", "-ec", `echo '${table}' | nft -f -`);
    firewall.check();
    run("sh", "-ec", firewall.warnings()[0]!.split("To let them pass: ")[1]!);
    expect(await hearBoth(question)).toBe(outside6);
    firewall.check();
    expect(firewall.warnings()).toEqual([]);
  });

  test("what is known of it serves for the next bridge too: nothing is read again", () => {
    for (const each of ["-P FORWARD DROP", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER"]) {
      run("iptables", ...each.split(" "));
    }
    const bridge = lab.bridge(1);
    using looks = spyOn(ForeignFirewalls.prototype, "look");
    for (let i = 0; i < 300; i++) firewall.setBridge({ ...bridge, bridge: `tsd-${i}` });
    expect(userRules("iptables").length).toBe(600);
    expect(looks).toHaveBeenCalledTimes(1);
    run("iptables", "-A", "FORWARD", "-j", "ACCEPT");
    firewall.setBridge({ ...bridge, bridge: "tsd-300" });
    expect(looks).toHaveBeenCalledTimes(2);
  });
});
