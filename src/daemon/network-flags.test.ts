import { describe, expect, test } from "bun:test";
import { daemonHelp, parseDaemonArguments } from "./flags.ts";

function options(...args: string[]) {
  const command = parseDaemonArguments(args);
  if (command.kind !== "run") throw new Error(`not run but ${command.kind}`);
  return command.options.network;
}

describe("the daemon's flags of networks", () => {
  test("leave everything open unless they are given", () => {
    expect(options()).toEqual({ addresses: {}, forwarding: true, options: {}, publish: { mode: "nat" } });
  });

  test("are dockerd's", () => {
    expect(
      options(
        ...["--bip=172.30.0.9/16", "--bip6", "fd00:7::9/64", "-b", "br7"],
        ...["--default-address-pool", "base=10.10.0.0/16,size=24", "--default-address-pool=size=64,base=fd00:8::/56"],
        ...["--default-gateway=172.30.0.1", "--default-gateway-v6=fd00:7::1"],
        ...["--fixed-cidr", "172.30.4.0/24", "--fixed-cidr-v6", "fd00:7::/80"],
        ...["--icc=false", "--ip-forward=false", "--ip-masq", "--ipv6", "--mtu=1400"],
        ...["--publish-mode=socket", "--ip=127.0.0.1"],
      ),
    ).toEqual({
      bridge: "br7",
      addresses: {
        address: "172.30.0.9/16",
        address6: "fd00:7::9/64",
        range: "172.30.4.0/24",
        range6: "fd00:7::/80",
        gateway: "172.30.0.1",
        gateway6: "fd00:7::1",
      },
      pools: ["10.10.0.0/16 size 24", "fd00:8::/56 size 64"],
      ipv6: true,
      forwarding: false,
      options: {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.driver.mtu": "1400",
      },
      publish: { mode: "socket", hostAddress: "127.0.0.1" },
    });
    expect(options("--publish-address", "::1", "--ip=::1").publish).toEqual({ mode: "nat", hostAddress: "::1" });
    expect(options("--host-gateway-ip=192.0.2.1,2001:DB8::1").hostGateway).toEqual(["192.0.2.1", "2001:db8::1"]);
    // The bridge may be there, and have a subnet.
    expect(options("-b", "br7", "--default-gateway=10.0.0.1").addresses).toEqual({ gateway: "10.0.0.1" });
    const separate = ["--host-gateway-ip=2001:db8::1", "--host-gateway-ip", "192.0.2.1"];
    expect(options(...separate).hostGateway).toEqual(["2001:db8::1", "192.0.2.1"]);
    expect(options("--ipv6=false", "--mtu", "0")).toMatchObject({ ipv6: false, options: {} });
    expect(options("--ipv6=false", "--ipv6").ipv6).toBe(true);
  });

  test("are what containers and networks have that say nothing else", () => {
    const dns = ["--dns", "192.0.2.53", "--dns=2001:DB8::53", "--dns-search=a.test.", "--dns-opt=ndots:2"];
    expect(options(...dns).dns).toEqual({
      servers: ["192.0.2.53", "2001:db8::53"],
      search: ["a.test"],
      options: ["ndots:2"],
    });
    expect(options("--dns-search=.").dns).toEqual({ servers: [], search: ["."], options: [] });
    const given = [
      "bridge=com.docker.network.driver.mtu=1400",
      "macvlan=macvlan_mode=private",
      "bridge=com.docker.network.driver.mtu=1450",
      "bridge=com.docker.network.bridge.enable_icc=false",
    ];
    expect(options(...given.map((text) => `--default-network-opt=${text}`)).driverOptions).toEqual({
      bridge: { "com.docker.network.driver.mtu": "1450", "com.docker.network.bridge.enable_icc": "false" },
      macvlan: { macvlan_mode: "private" },
    });
  });

  test.each([
    [["-b", "none"], "--bridge=none: not built in tsd; run containers with --network none"],
    [["--dns=server"], 'invalid argument "server" for "--dns" flag: IP address is not correctly formatted: server'],
    [["--dns-search=a_b"], 'invalid argument "a_b" for "--dns-search" flag: a_b is not a valid domain'],
    [["--dns-opt=a b"], 'invalid argument "a b" for "--dns-opt" flag: an option of resolv.conf is one word'],
    [["--default-network-opt=bridge"], 'invalid argument "bridge" for "--default-network-opt" flag: write DRIVER='],
    [["--default-network-opt=bridge=mtu"], "write DRIVER=OPTION=VALUE"],
    [["--default-network-opt=overlay=a=b"], 'for "--default-network-opt" flag: driver overlay: use bridge, macvlan'],
    [["--default-network-opt=bridge=com.docker.network.driver.mtu=1"], '"1" is not a number of bytes from 68 to'],
    [["--default-network-opt=bridge=com.docker.network.enable_ipv6=no"], '"no" is not true or false'],
    [["--default-network-opt=macvlan=macvlan_mode=x"], "requested macvlan mode 'x' is not valid"],
    [["--default-network-opt=bridge=com.docker.network.bridge.name=br0"], "each network has its own bridge"],
    [["--bip=172.30.0.1"], "--bip 172.30.0.1: not an IPv4 address with a prefix length"],
    [["--fixed-cidr=10.0.0.0/24", "--bip=172.30.0.1/16"], "invalid ip-range 10.0.0.0/24: parent subnet 172.30.0.0/16"],
    [["--ipv6=false", "--bip6=fd00::1/64"], "--ipv6=false: the default bridge was given subnet fd00::/64"],
    [["--default-gateway=10.0.0.1"], "--default-gateway 10.0.0.1: its subnet is not known"],
    [["--host-gateway-ip=gate"], 'invalid argument "gate" for "--host-gateway-ip" flag: ip is not correctly formatted'],
    [
      ["--host-gateway-ip=10.0.0.1,10.0.0.2"],
      "--host-gateway-ip: only one IPv4 address can be given: 10.0.0.1 10.0.0.2",
    ],
    [["--mtu=big"], 'invalid argument "big" for "--mtu" flag'],
    [["--mtu=67"], 'invalid argument "67" for "--mtu" flag: not a number from 68 to 65535'],
    [["--icc=maybe"], 'invalid argument "maybe" for "--icc" flag'],
    [["--default-address-pool=10.0.0.0/8"], '"10.0.0.0/8" is not of the form key=value'],
    [["--default-address-pool=base=10.0.0.0/8"], "base and size are both needed"],
    [["--default-address-pool=base=10.0.0.0/8,size=7"], "no subnet of that size fits"],
    [["--default-address-pool=base=10.0.0.0/8,size=31"], "no subnet of that size fits"],
    [["--default-address-pool=base=x,size=24"], 'for "--default-address-pool" flag: "x" is not a subnet'],
    [["--default-address-pool=base=10.0.0.0/8,len=24"], 'unexpected key "len": use base and size'],
    [["--default-address-pool=size=24,size=24"], "size is there twice"],
    [["--publish-mode=proxy"], 'invalid argument "proxy" for "--publish-mode" flag: choose nat or socket'],
    [["--ip=localhost"], 'invalid argument "localhost" for "--ip" flag: ip is not correctly formatted: localhost'],
    [["--ip=::1", "--publish-address=::"], "--publish-address :: and --ip ::1 are the same flag"],
  ])("%j is refused", (args, message) => {
    expect(() => parseDaemonArguments(args)).toThrow(message);
  });

  test("stand in the help, in its order", () => {
    const names = [...daemonHelp().matchAll(/--([a-z0-9-]+)/g)].map((match) => match[1]!);
    const flags = ["bip", "bridge", "cgroup-parent", "default-address-pool", "icc", "mtu", "pidfile", "publish-mode"];
    expect(names.filter((name) => flags.includes(name))).toEqual(flags);
  });
});
