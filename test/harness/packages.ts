import { existsSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../build/pinned.ts";

/** Boots a guest and runs a command in it; beside the project where it is there at all. */
export const guestRig: string = join(projectRoot, "..", "shared", "vm", "run.sh");

/** The Debian packages that the tests use, each with a file that shows that it is there. */
const packages: Record<string, string> = {
  binutils: "/usr/bin/as",
  "busybox-static": "/bin/busybox",
  // Of podman's default networks.
  "containernetworking-plugins": "/usr/lib/cni/bridge",
  containerd: "/usr/bin/containerd",
  curl: "/usr/bin/curl",
  "docker-compose": "/usr/bin/docker-compose",
  "docker.io": "/usr/sbin/dockerd",
  "docker-registry": "/usr/bin/docker-registry",
  e2fsprogs: "/sbin/mkfs.ext4",
  iperf3: "/usr/bin/iperf3",
  iproute2: "/sbin/ip",
  iptables: "/usr/sbin/iptables",
  mmdebstrap: "/usr/bin/mmdebstrap",
  nftables: "/usr/sbin/nft",
  openssl: "/usr/bin/openssl",
  podman: "/usr/bin/podman",
  "python3-docker": "/usr/lib/python3/dist-packages/docker/__init__.py",
  runc: "/usr/sbin/runc",
  skopeo: "/usr/bin/skopeo",
  strace: "/usr/bin/strace",
  tini: "/usr/bin/tini",
  "util-linux": "/usr/bin/nsenter",
  xfsprogs: "/usr/sbin/mkfs.xfs",
  zstd: "/usr/bin/zstd",
};

/** What booting a guest needs, where there is a rig for one. */
const guestPackages: Record<string, string> = {
  "qemu-system-x86": "/usr/bin/qemu-system-x86_64",
};

/** The docker client of the machine, or else Debian's. */
const dockerClients = ["/usr/local/bin/docker", "/usr/bin/docker"];

/** The one that the tests use. */
export function dockerClient(): string {
  return dockerClients.find((client) => existsSync(client)) ?? "docker";
}

/** Installs what is missing with apt-get. @throws when a package cannot be had. */
export async function installPackages(): Promise<void> {
  const wanted = { ...packages, ...(existsSync(guestRig) && guestPackages) };
  const missing = Object.entries(wanted).flatMap(([name, file]) => (existsSync(file) ? [] : [name]));
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) throw new Error(`the tests need root to install ${missing.join(" ")}`);
  if (!existsSync("/usr/bin/apt-get")) throw new Error(`the tests need these programs: ${missing.join(" ")}`);
  console.log(`installing ${missing.join(" ")}`);
  await aptGet(["update", "-q"]);
  await aptGet(["install", "-qy", "--no-install-recommends", ...missing]);
}

async function aptGet(args: string[]): Promise<void> {
  const child = Bun.spawn(["apt-get", ...args], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
  });
  if ((await child.exited) !== 0) throw new Error(`apt-get ${args.join(" ")} failed`);
}
