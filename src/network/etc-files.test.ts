import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  hostHostsFile,
  hostnameFile,
  hostsFile,
  isUnchangedResolvConf,
  readHostResolvConf,
  resolvConf,
} from "./etc-files.ts";

describe("hosts", () => {
  test("is Docker's: the local names, then the container's own", () => {
    expect(hostsFile({ hostname: "web", addresses: ["172.28.0.2"] })).toBe(
      [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        "172.28.0.2\tweb",
        "",
      ].join("\n"),
    );
  });

  test("has the qualified name before the short one, and added hosts", () => {
    const tail = (options: Parameters<typeof hostsFile>[0]) => hostsFile(options).split("\n").slice(6, -1);
    expect(tail({ hostname: "web", domainname: "example.org", addresses: ["10.0.0.2"] })).toEqual([
      "10.0.0.2\tweb.example.org web",
    ]);
    expect(tail({ hostname: "web.example.org", addresses: ["10.0.0.2"] })).toEqual(["10.0.0.2\tweb.example.org web"]);
    const extraHosts = [{ name: "db", address: "2001:DB8::1" }];
    expect(tail({ hostname: "web", addresses: [], extraHosts })).toEqual(["2001:db8::1\tdb"]);
  });

  test("refuses what would break the file", () => {
    const extra = (name: string, address: string) => () =>
      hostsFile({ hostname: "web", addresses: [], extraHosts: [{ name, address }] });
    expect(extra("a\n1.2.3.4 bank", "10.0.0.1")).toThrow("cannot stand in /etc/hosts");
    expect(extra("db", "10.0.0")).toThrow('host db: "10.0.0" is not an IP address');
    expect(() => hostsFile({ hostname: "we b", addresses: ["10.0.0.1"] })).toThrow('"we b" cannot stand');
    expect(() => hostnameFile("a\nb")).toThrow("cannot stand");
    expect(hostnameFile("web")).toBe("web\n");
  });

  test("for the host's network is the host's, with added hosts", () => {
    const directory = mkdtempSync(join(tmpdir(), "tsd-etc-"));
    try {
      const path = join(directory, "hosts");
      writeFileSync(path, "127.0.0.1 localhost\n10.0.0.1 me");
      expect(hostHostsFile([{ name: "db", address: "10.0.0.9" }], path)).toBe(
        "127.0.0.1 localhost\n10.0.0.1 me\n10.0.0.9\tdb\n",
      );
      expect(hostHostsFile([], join(directory, "none"))).toStartWith("127.0.0.1\tlocalhost\n");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

/** Without the remarks. */
function settings(...args: Parameters<typeof resolvConf>): string {
  return resolvConf(...args).replace(/^#.*\n/gm, "");
}

describe("resolv.conf", () => {
  test("keeps the host's servers, search and options, without the loopback's and IPv6 ones", () => {
    const host = `# written by something
nameserver 127.0.0.53
nameserver 10.255.255.53
nameserver ::1
nameserver 2001:db8::53
nameserver fe80::1%eth0
domain old.example
search example.org example.net
options ndots:2 edns0
options timeout:1
`;
    const rest = "search example.org example.net\noptions ndots:2 edns0 timeout:1\n";
    expect(settings(host)).toBe(`nameserver 10.255.255.53\n${rest}`);
    expect(settings(host, { ipv6: true })).toBe(`nameserver 10.255.255.53\nnameserver 2001:db8::53\n${rest}`);
  });

  test("falls back to public servers when none can be reached", () => {
    const fallback = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
    for (const host of [
      "",
      "nameserver 127.0.0.1\n",
      "nameserver ::1",
      "nameserver\n",
      "nameserver ::ffff:127.0.0.1",
    ]) {
      expect(settings(host)).toBe(fallback);
      expect(settings(host, { ipv6: true })).toStartWith(`${fallback}nameserver 2001:4860:4860::8888\n`);
    }
  });

  test("takes what the options say instead", () => {
    const host = "nameserver 10.0.0.53\nsearch example.org\noptions ndots:2\n";
    expect(settings(host, { servers: ["127.0.0.1", "1.1.1.1"] })).toStartWith(
      "nameserver 127.0.0.1\nnameserver 1.1.1.1\nsearch example.org\n",
    );
    expect(settings(host, { search: ["a.b"], options: ["rotate"] })).toBe(
      "nameserver 10.0.0.53\nsearch a.b\noptions rotate\n",
    );
    expect(settings(host, { search: ["."] })).toBe("nameserver 10.0.0.53\noptions ndots:2\n");
    expect(() => resolvConf(host, { servers: ["dns.example"] })).toThrow('invalid DNS server: "dns.example"');
    expect(() => resolvConf(host, { search: ["a\nnameserver 6.6.6.6"] })).toThrow("cannot stand in");
  });

  test("names tsd's own server alone where there is one, and remarks on those that it asks", () => {
    const host = "nameserver 127.0.0.53\nnameserver fe80::1%eth0\nsearch example.org\noptions edns0 trust-ad\n";
    const resolver = "127.0.0.11";
    const text = resolvConf(host, { resolver });
    expect(text.replace(/^# Checksum: .*\n/m, "")).toBe(
      `# Written by tsd, which leaves it alone as soon as it is changed.
nameserver 127.0.0.11
search example.org
options edns0 trust-ad ndots:0

# ExtServers: [host(127.0.0.53) host(fe80::1%eth0)]
# Overrides: []
# Option ndots from: internal
`,
    );
    const told = resolvConf(host, { resolver, servers: ["1.1.1.1"], search: ["."], options: ["ndots:3"] });
    expect(told).toContain("nameserver 127.0.0.11\noptions ndots:3\n");
    expect(told).toContain("# ExtServers: [1.1.1.1]\n# Overrides: [nameservers search options]\n# Checksum");
    expect(resolvConf("", { resolver })).toContain("# ExtServers: [host(8.8.8.8) host(8.8.4.4)]\n");
    expect(() => resolvConf("", { resolver, servers: ["dns"] })).toThrow('invalid DNS server: "dns"');
  });

  test("tells whether somebody has changed it since it was written", () => {
    for (const text of [resolvConf(""), resolvConf("search a", { resolver: "127.0.0.11" })]) {
      expect(isUnchangedResolvConf(text)).toBe(true);
      for (const other of [
        `${text}options rotate\n`,
        `#\n${text}`,
        text.replace("127", "128").replace("8.8.8", "9.9.9"),
      ]) {
        expect(isUnchangedResolvConf(other)).toBe(false);
      }
      expect(isUnchangedResolvConf(text.slice(0, -1))).toBe(false);
    }
    expect(isUnchangedResolvConf("")).toBe(false);
    expect(isUnchangedResolvConf("nameserver 10.0.0.1\n")).toBe(false);
  });

  test("of a host with systemd-resolved is the one with the servers behind it", () => {
    const directory = mkdtempSync(join(tmpdir(), "tsd-etc-"));
    try {
      const stub = join(directory, "resolv.conf");
      const behind = join(directory, "resolved.conf");
      writeFileSync(stub, "nameserver 127.0.0.53\n");
      expect(readHostResolvConf(stub, behind)).toBe("nameserver 127.0.0.53\n");
      writeFileSync(behind, "nameserver 10.0.0.53\n");
      expect(readHostResolvConf(stub, behind)).toBe("nameserver 10.0.0.53\n");
      writeFileSync(stub, "nameserver 127.0.0.1\n");
      expect(readHostResolvConf(stub, behind)).toBe("nameserver 127.0.0.1\n");
      expect(readHostResolvConf(join(directory, "none"), behind)).toBe("");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
