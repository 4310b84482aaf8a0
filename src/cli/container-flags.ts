import { nameServer, searchDomain } from "../core/name-server.ts";
import { throttleBytesFlag, throttleOperationsFlag, weightDeviceFlag } from "./block-device-flag.ts";
import {
  aliasFlag,
  boolFlag,
  bytesFlag,
  checkedListFlag,
  durationFlag,
  type Flag,
  type FlagSet,
  type FlagValues,
  intFlag,
  labelFlag,
  listFlag,
  nanoCpusFlag,
  platformFlagOf,
  stringFlag,
  UsageError,
  uint16Flag,
} from "./flags.ts";
import { gpusFlag } from "./gpus-flag.ts";
import { mountFlag } from "./mount-flag.ts";
import { extraHost, link } from "./network-checks.ts";
import { networkFlag } from "./network-flag.ts";
import { deviceCgroupRule, sysctl } from "./security-flags.ts";
import { variable } from "./variables.ts";

const dnsOption = listFlag("Set DNS options");
const network = networkFlag("Connect a container to a network");
const networkAlias = listFlag("Add network-scoped alias for the container");

/** The flags that `run` and `create` share. What they mean for the request is in create-request.ts. */
export const containerFlags = {
  "add-host": checkedListFlag("Add a custom host-to-IP mapping (host:ip)", extraHost),
  annotation: listFlag("Add an annotation to the container (passed through to the OCI runtime)", { valueName: "map" }),
  attach: listFlag("Attach to STDIN, STDOUT or STDERR", { short: "a" }),
  "blkio-weight": uint16Flag("Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
  "blkio-weight-device": weightDeviceFlag("Block IO weight (relative device weight)"),
  "cap-add": listFlag("Add Linux capabilities"),
  "cap-drop": listFlag("Drop Linux capabilities"),
  "cgroup-parent": stringFlag("Optional parent cgroup for the container"),
  cgroupns: stringFlag("Cgroup namespace to use (host|private)"),
  cidfile: stringFlag("Write the container ID to the file"),
  "cpu-period": intFlag("Limit CPU CFS (Completely Fair Scheduler) period"),
  "cpu-quota": intFlag("Limit CPU CFS (Completely Fair Scheduler) quota"),
  "cpu-rt-period": intFlag("Limit CPU real-time period in microseconds"),
  "cpu-rt-runtime": intFlag("Limit CPU real-time runtime in microseconds"),
  "cpu-shares": intFlag("CPU shares (relative weight)", { short: "c" }),
  cpus: nanoCpusFlag("Number of CPUs"),
  "cpuset-cpus": stringFlag("CPUs in which to allow execution (0-3, 0,1)"),
  "cpuset-mems": stringFlag("MEMs in which to allow execution (0-3, 0,1)"),
  device: listFlag("Add a host device to the container"),
  "device-cgroup-rule": checkedListFlag("Add a rule to the cgroup allowed devices list", deviceCgroupRule),
  "device-read-bps": throttleBytesFlag("Limit read rate (bytes per second) from a device"),
  "device-read-iops": throttleOperationsFlag("Limit read rate (IO per second) from a device"),
  "device-write-bps": throttleBytesFlag("Limit write rate (bytes per second) to a device"),
  "device-write-iops": throttleOperationsFlag("Limit write rate (IO per second) to a device"),
  dns: checkedListFlag("Set custom DNS servers", nameServer),
  "dns-opt": aliasFlag("dns-option", dnsOption),
  "dns-option": dnsOption,
  "dns-search": checkedListFlag("Set custom DNS search domains", searchDomain),
  domainname: stringFlag("Container NIS domain name"),
  entrypoint: stringFlag("Overwrite the default ENTRYPOINT of the image"),
  env: checkedListFlag("Set environment variables", variable, { short: "e" }),
  "env-file": listFlag("Read in a file of environment variables"),
  expose: listFlag("Expose a port or a range of ports"),
  gpus: gpusFlag(),
  "group-add": listFlag("Add additional groups to join"),
  "health-cmd": stringFlag("Command to run to check health"),
  "health-http": stringFlag("Ask a web server of the container's how it is (URL|PORT/PATH)"),
  "health-interval": durationFlag("Time between running the check (ms|s|m|h) (default 0s)"),
  "health-on-failure": stringFlag('What to do with a container that is unhealthy ("none", "restart", "stop", "kill")'),
  "health-retries": intFlag("Consecutive failures needed to report unhealthy"),
  "health-start-interval": durationFlag(
    "Time between running the check during the start period (ms|s|m|h) (default 0s)",
  ),
  "health-start-period": durationFlag(
    "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)",
  ),
  "health-tcp": stringFlag("Connect to a port of the container's (PORT|ADDRESS:PORT)"),
  "health-timeout": durationFlag("Maximum time to allow one check to run (ms|s|m|h) (default 0s)"),
  hostname: stringFlag("Container host name", { short: "h" }),
  init: boolFlag("Run an init inside the container that forwards signals and reaps processes"),
  interactive: boolFlag("Keep STDIN open even if not attached", { short: "i" }),
  ip: stringFlag("IPv4 address (e.g., 172.30.100.104)"),
  ip6: stringFlag("IPv6 address (e.g., 2001:db8::33)"),
  ipc: stringFlag("IPC mode to use"),
  isolation: stringFlag("Container isolation technology"),
  label: labelFlag("Set meta data on a container", { short: "l" }),
  "label-file": listFlag("Read in a line delimited file of labels"),
  link: checkedListFlag("Add link to another container", link),
  "link-local-ip": listFlag("Container IPv4/IPv6 link-local addresses"),
  "log-driver": stringFlag("Logging driver for the container"),
  "log-opt": listFlag("Log driver options"),
  "mac-address": stringFlag("Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
  memory: bytesFlag("Memory limit", { short: "m" }),
  "memory-reservation": bytesFlag("Memory soft limit"),
  "memory-swap": bytesFlag("Swap limit equal to memory plus swap: '-1' to enable unlimited swap", { unlimited: true }),
  "memory-swappiness": intFlag("Tune container memory swappiness (0 to 100)", { initial: -1 }),
  mount: mountFlag("Attach a filesystem mount to the container"),
  name: stringFlag("Assign a name to the container"),
  net: aliasFlag("network", network),
  "net-alias": aliasFlag("network-alias", networkAlias),
  network,
  "network-alias": networkAlias,
  "no-healthcheck": boolFlag("Disable any container-specified HEALTHCHECK"),
  "oom-kill-disable": boolFlag("Disable OOM Killer"),
  "oom-score-adj": intFlag("Tune host's OOM preferences (-1000 to 1000)"),
  pid: stringFlag("PID namespace to use"),
  "pids-limit": intFlag("Tune container pids limit (set -1 for unlimited)"),
  platform: platformFlagOf(),
  privileged: boolFlag("Give extended privileges to this container"),
  publish: listFlag("Publish a container's port(s) to the host", { short: "p" }),
  "publish-all": boolFlag("Publish all exposed ports to random ports", { short: "P" }),
  pull: stringFlag('Pull image before running ("always", "missing", "never")', { initial: "missing" }),
  quiet: boolFlag("Suppress the pull output", { short: "q" }),
  "read-only": boolFlag("Mount the container's root filesystem as read only"),
  restart: stringFlag("Restart policy to apply when a container exits", { initial: "no" }),
  rm: boolFlag("Automatically remove the container and its associated anonymous volumes when it exits"),
  runtime: stringFlag("Runtime to use for this container"),
  "security-opt": listFlag("Security Options"),
  "shm-size": bytesFlag("Size of /dev/shm"),
  "stop-signal": stringFlag("Signal to stop the container"),
  "stop-timeout": intFlag("Timeout (in seconds) to stop a container"),
  "storage-opt": listFlag("Storage driver options for the container"),
  sysctl: checkedListFlag("Sysctl options", sysctl, { valueName: "map" }),
  tmpfs: listFlag("Mount a tmpfs directory"),
  tty: boolFlag("Allocate a pseudo-TTY", { short: "t" }),
  ulimit: listFlag("Ulimit options", { valueName: "ulimit" }),
  "use-api-socket": boolFlag("Bind mount Docker API socket and required auth"),
  user: stringFlag("Username or UID (format: <name|uid>[:<group|gid>])", { short: "u" }),
  userns: stringFlag("User namespace to use"),
  uts: stringFlag("UTS namespace to use"),
  volume: listFlag("Bind mount a volume", { short: "v" }),
  "volume-driver": stringFlag("Optional volume driver for the container"),
  "volumes-from": listFlag("Mount volumes from the specified container(s)"),
  workdir: stringFlag("Working directory inside the container", { short: "w" }),
} satisfies FlagSet;

export type ContainerFlags = typeof containerFlags;
export type ContainerFlagValues = FlagValues<ContainerFlags>;

/** Flags of Windows containers, which tsd will never have. */
const windowsOnly = ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"];

/** Known and refused with a reason, which is more use than "unknown flag". */
export const refusedContainerFlags: FlagSet = Object.fromEntries(
  windowsOnly.map((name): [string, Flag<never>] => [
    name,
    {
      help: "",
      valueName: "",
      hidden: true,
      isBoolean: false,
      initial: undefined as never,
      read: () => {
        throw new UsageError(`--${name} is for Windows containers, which tsd does not run`);
      },
    },
  ]),
);
