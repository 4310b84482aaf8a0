import { describe, expect, test } from "bun:test";
import { daemonHelp, parseDaemonArguments } from "./flags.ts";

/** Those of dockerd 20.10 and 29, by their help; with a value where they take one. */
const dockerds = `
add-runtime=a=/b allow-direct-routing allow-nondistributable-artifacts=x api-cors-header=x apparmor-profile=x
authorization-plugin=x bip=172.30.0.1/16 bip6=fd00::1/64 bridge=br0 bridge-accept-fwmark=1 cdi-spec-dir=/x
cgroup-parent=/x config-file=/x containerd=x containerd-namespace=x containerd-plugins-namespace=x cpu-rt-period=1
cpu-rt-runtime=1 cri-containerd data-root=/x debug default-address-pool=base=10.0.0.0/8,size=24
default-cgroupns-mode=host default-gateway=172.30.0.2 default-gateway-v6=fd00::2 default-ipc-mode=private
default-network-opt=bridge=com.docker.network.driver.mtu=1400 default-runtime=tsd default-shm-size=1m
default-ulimit=nofile=1 dns-opt=ndots:1 dns-search=a.test dns=192.0.2.1 exec-opt=x exec-root=/x experimental feature=x
firewall-backend=iptables fixed-cidr=172.30.1.0/24 fixed-cidr-v6=fd00::/80 group=x help host-gateway-ip=192.0.2.1
host=/x http-proxy=x https-proxy=x icc init init-path=x insecure-registry=x ip-forward ip-forward-no-drop=false ip-masq
ip=192.0.2.1 ip6tables=false iptables=false ipv6 label=a=b live-restore=false log-driver=local log-format=x log-level=info
log-opt=max-size=1m max-concurrent-downloads=1 max-concurrent-uploads=1 max-download-attempts=1 metrics-addr=x mtu=1400
network-control-plane-mtu=1 no-new-privileges no-proxy=x node-generic-resource=x oom-score-adjust=1 pidfile=/x raw-logs
registry-mirror=http://x rootless seccomp-profile=x selinux-enabled shutdown-timeout=1 storage-driver=x storage-opt=overlay2.size=1g
swarm-default-advertise-addr=x tls tlscacert=x tlscert=x tlskey=x tlsverify userland-proxy=false userland-proxy-path=x
userns-remap=x validate version`
  .trim()
  .split(/\s+/);

function refusal(...args: string[]): string | undefined {
  try {
    parseDaemonArguments(args);
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
}

/** What makes the rest readable: the default gateways are in these subnets. */
const subnets = ["--bip=172.30.0.1/16", "--bip6=fd00::1/64"];

describe("a flag of dockerd's", () => {
  test("is tsd's too, or is refused by its name and with a reason", () => {
    const own = new Set([...daemonHelp().matchAll(/--([a-z0-9-]+)/g)].map((match) => match[1]!));
    for (const word of dockerds) {
      const name = word.split("=")[0]!;
      const message = refusal(...subnets, `--${word}`);
      if (own.has(name)) expect([name, message]).toEqual([name, undefined]);
      else expect(message).toMatch(new RegExp(`^--${word}: .{10,}`));
    }
  });

  test("is refused with its value where that is a word of its own, or behind docker's letter", () => {
    expect(refusal("--data-root", "/srv")).toBe("--data-root=/srv: called --root in tsd");
    for (const args of [["-s", "overlay2"], ["-soverlay2"], ["--storage-driver", "overlay2"]]) {
      expect(refusal(...args)).toStartWith("--storage-driver=overlay2: tsd has a store of its own");
    }
    expect(refusal("--data-root")).toBe("--data-root: called --root in tsd");
  });

  test("is taken where all is as it says already, and the next word is not its value", () => {
    const asItIs = [
      "--iptables",
      "--ip6tables=true",
      "--userland-proxy=true",
      "--ip-forward-no-drop",
      "--live-restore",
    ];
    expect(refusal(...asItIs, "--firewall-backend", "nftables", "--debug")).toBeUndefined();
    expect(refusal("--iptables", "false")).toContain("accepts no arguments: false");
  });

  test.each([
    [["--iptables=false"], "--iptables=false: tsd's rules are one table of nf_tables"],
    [["--userland-proxy=false"], "by --publish-mode nat the kernel translates"],
    [["--ip-forward-no-drop=false"], "tsd sets no policy of others' chains"],
    [["--bridge-accept-fwmark=0x1"], "nft add rule inet tsd tsd-user meta mark MARK accept"],
    [["--allow-direct-routing"], "com.docker.network.bridge.trusted_host_interfaces"],
    [["--firewall-backend", "iptables"], "--firewall-backend=iptables: "],
  ])("%j says what to do instead", (args, message) => {
    expect(refusal(...args)).toContain(message);
  });
});
