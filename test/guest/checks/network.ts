import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { command, succeed } from "../../harness/command.ts";
import { busybox, inContainer, inside, inspect, ok, remove, serve, start, systemctl, tsd, until } from "./guest.ts";

const links = async () =>
  (await succeed(["ip", "-o", "link"])).split("\n").map((line) => line.split(": ")[1]!.replace(/@.*/, ""));

describe("the bridge", () => {
  let first: string;
  let second: string;
  const address = async (id: string) => (await inspect(id)).NetworkSettings.Networks.bridge!.IPAddress;

  beforeAll(async () => {
    await serve();
    first = await start("sleep 1000", "--hostname", "first");
    second = await start("echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp");
  });
  afterAll(() => remove(first, second));

  test("is the host's only network beside its loopback, and masquerades what leaves it", async () => {
    expect((await links()).filter((name) => !/^(lo|veth|tsd)/.test(name))).toEqual([]);
    const rules = await succeed(["nft", "list", "table", "inet", "tsd"]);
    expect(rules).toMatch(/set masqueraded \{[^}]*ipv4 \. "tsd0",\s*ipv6 \. "tsd0"/);
    expect(rules).toContain("meta nfproto . iifname @masqueraded masquerade");
    const tables = await succeed(["nft", "list", "tables"]);
    expect(tables).toBe("table inet tsd");
    for (const file of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) {
      expect(await Bun.file(`/proc/sys/net/${file}`).text()).toBe("1\n");
    }
  });

  test("lets containers reach each other by address, and the host reach them", async () => {
    const target = await address(second);
    expect(await address(first)).not.toBe(target);
    const script = `wget -qO- http://${target}/; ping -c 1 -W 5 ${target}`;
    const [page, ...pinged] = (await inside(first, "sh", "-c", script)).split("\n");
    expect(page).toBe("hello");
    expect(pinged.join("\n")).toContain("1 packets received");
    expect(await succeed(["curl", "-s", "--max-time", "60", `http://${target}/`])).toBe("hello");
  });

  test("gives a container an address, a gateway, a name and the files that tell of them", async () => {
    const own = await address(first);
    const { Gateway } = (await inspect(first)).NetworkSettings.Networks.bridge!;
    const script = "ip -4 -o addr show eth0; echo; ip route; echo; cat /etc/hosts; echo; hostname";
    const [addresses, routes, hosts, name] = (await inside(first, "sh", "-c", script)).split("\n\n");
    expect(addresses).toContain(`inet ${own}/16`);
    expect(routes).toContain(`default via ${Gateway} dev eth0`);
    expect(hosts).toMatch(new RegExp(`^${own}\\s+first$`, "m"));
    expect(name).toBe("first");
  });

  test("keeps containers apart from what is not on it", async () => {
    expect(await inContainer("ip -o link | wc -l")).toBe("1");
    const shared = await ok("run", "--rm", "--network", `container:${second}`, busybox, "hostname", "-i");
    expect(shared).toBe(await address(second));
    const names = (await ok("run", "--rm", "--network", "host", busybox, "ls", "/sys/class/net")).split("\n");
    expect(names).toContain("tsd0");
  });

  test("is put back by the daemon, or by the next, when somebody has flushed the firewall", async () => {
    const tables = () => succeed(["nft", "list", "tables"]);
    await succeed(["nft", "flush", "ruleset"]);
    await until("the table is back", async () => (await tables()) === "table inet tsd");
    await systemctl("stop", "tsd");
    await succeed(["nft", "flush", "ruleset"]);
    await systemctl("start", "tsd");
    expect(await tables()).toBe("table inet tsd");
    expect(await inside(first, "ping", "-c", "1", "-W", "5", await address(second))).toContain("1 packets received");
  });
});

describe("at the end", () => {
  test("nothing is left of containers, and of the network nothing when the daemon is stopped", async () => {
    await serve();
    const ids = (await ok("ps", "-aq")).split("\n").filter(Boolean);
    expect(ids).toEqual([]);
    await systemctl("stop", "tsd");
    expect(await links()).toEqual(["lo"]);
    expect(await succeed(["nft", "list", "ruleset"])).toBe("");
    const mounts = await Bun.file("/proc/self/mountinfo").text();
    expect(mounts.split("\n").filter((line) => / \/(var\/lib|run)\/tsd/.test(line))).toEqual([]);
    await until("the spare shim ends", async () => (await command(["pgrep", "-f", "tsd shim"])).status === 1);
    const cgroups = await succeed(["find", "/sys/fs/cgroup/tsd", "-mindepth", "1", "-type", "d"]);
    expect(cgroups.split("\n").filter((path) => path !== "/sys/fs/cgroup/tsd/shims" && path !== "")).toEqual([]);
    expect(existsSync("/run/tsd/tsd.sock")).toBe(false);
    expect((await tsd(["version"])).status).toBe(1);
  });
});
