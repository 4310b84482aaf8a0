/**
 * dockerd's flags that tsd has not: up to Docker 29, those of earlier versions too. Somebody who comes from there has
 * them in a unit file, and is told why they do nothing here or what does it.
 */

/** What is asked for is so already. */
const asItIs = {
  "firewall-backend": "nftables",
  ip6tables: "true",
  "ip-forward-no-drop": "true",
  iptables: "true",
  "live-restore": "true",
  "userland-proxy": "true",
} as const;

const noSwarm = "tsd has no swarm";
const noTcp = "tsd listens on Unix sockets alone; reach it by ssh: docker -H ssh://HOST";
const oneStore = "tsd has a store of its own and needs neither containerd nor a storage driver";
const perContainer = (flag: string): string => `not built in tsd yet; give the container ${flag}`;
const byVariable = (name: string): string => `set ${name} in the daemon's environment`;
const ownTable = "tsd's rules are one table of nf_tables, inet tsd, and nobody else's are touched";

const reasons: Readonly<Record<string, string>> = {
  "allow-direct-routing":
    "choose what may reach containers' own addresses, for one network by -o or for all by --default-network-opt bridge=OPTION=VALUE: com.docker.network.bridge.trusted_host_interfaces, or com.docker.network.bridge.gateway_mode_ipv4",
  "allow-nondistributable-artifacts": "Docker has dropped it too: all layers are pushed",
  "api-cors-header": "tsd's API is for no browser",
  "apparmor-profile": perContainer("--security-opt apparmor=PROFILE"),
  "bridge-accept-fwmark":
    "accept them in the chain that is yours: nft add rule inet tsd tsd-user meta mark MARK accept",
  "cluster-advertise": noSwarm,
  "cluster-store": noSwarm,
  "cluster-store-opt": noSwarm,
  "config-file": "tsd reads no file: every setting is a flag",
  containerd: oneStore,
  "containerd-namespace": oneStore,
  "containerd-plugins-namespace": oneStore,
  "cpu-rt-period": "cgroup v2 has no real-time limits",
  "cpu-rt-runtime": "cgroup v2 has no real-time limits",
  "cri-containerd": oneStore,
  "data-root": "called --root in tsd",
  "default-cgroupns-mode": perContainer("--cgroupns"),
  "default-ipc-mode": perContainer("--ipc"),
  "default-shm-size": perContainer("--shm-size"),
  "default-ulimit": perContainer("--ulimit"),
  "disable-legacy-registry": "tsd speaks to none",
  "exec-opt": "cgroups are made by tsd itself, below --cgroup-parent",
  "exec-root": "called --state in tsd",
  feature: "tsd has no such switches",
  "firewall-backend": ownTable,
  graph: "called --root in tsd",
  "http-proxy": byVariable("HTTP_PROXY"),
  "https-proxy": byVariable("HTTPS_PROXY"),
  init: perContainer("--init"),
  "init-path": "the init of --init is tsd's own",
  ip6tables: `${ownTable}; without it no port of IPv6 is published: --ipv6=false leaves the default bridge without`,
  iptables: `${ownTable}; without it no port is published and networks are not kept apart`,
  "ip-forward-no-drop": "tsd sets no policy of others' chains, and keeps strangers from containers by its own rules",
  label: "not built in tsd yet",
  "live-restore": "containers always outlive tsd daemon",
  "log-format": "tsd has one format",
  "max-concurrent-downloads": "tsd chooses it",
  "max-concurrent-uploads": "tsd chooses it",
  "max-download-attempts": "tsd chooses it",
  "metrics-addr": "not built in tsd yet",
  "network-control-plane-mtu": noSwarm,
  "no-new-privileges": perContainer("--security-opt no-new-privileges"),
  "no-proxy": byVariable("NO_PROXY"),
  "node-generic-resource": noSwarm,
  "oom-score-adjust": "set OOMScoreAdjust= in the unit",
  "raw-logs": "tsd has one format",
  rootless: "the daemon needs root",
  "seccomp-profile": perContainer("--security-opt seccomp=FILE"),
  "selinux-enabled": perContainer("--security-opt label=…"),
  "shutdown-timeout": "containers outlive the daemon, which waits for none",
  "storage-driver": oneStore,
  "swarm-default-advertise-addr": noSwarm,
  tls: noTcp,
  tlscacert: noTcp,
  tlscert: noTcp,
  tlskey: noTcp,
  tlsverify: noTcp,
  "userland-proxy":
    "there is no proxy for each port that could be left out: by --publish-mode nat the kernel translates, and one tsd proxy holds all ports",
  "userland-proxy-path": "the proxy is tsd's own",
  validate: "not built in tsd yet",
};

/** By docker's letters; the others are tsd's too. */
const letters: Readonly<Record<string, string>> = { g: "graph", s: "storage-driver" };

/** The flag that a letter stands for with dockerd. */
export function dockerdFlagOf(letter: string): string | undefined {
  return letters[letter];
}

/** Whether dockerd has it and tsd has not. */
export function isDockerdFlag(name: string): boolean {
  return Object.hasOwn(reasons, name);
}

/** A flag of dockerd's whose value is a word of its own; the others are switches. */
export function hasValue(name: string): boolean {
  return !switches.has(name);
}

const switches: ReadonlySet<string> = new Set([
  ...["allow-direct-routing", "cri-containerd", "disable-legacy-registry", "init", "ip-forward-no-drop"],
  ...["ip6tables", "iptables", "live-restore", "no-new-privileges", "raw-logs", "rootless", "selinux-enabled", "tls"],
  ...["tlsverify", "userland-proxy", "validate"],
]);

/** Why a flag that `isDockerdFlag` is refused with that value; undefined where all is already as it says. */
export function refusalOf(name: string, value: string): string | undefined {
  if (Object.hasOwn(asItIs, name) && asItIs[name as keyof typeof asItIs] === value) return undefined;
  return reasons[name];
}
