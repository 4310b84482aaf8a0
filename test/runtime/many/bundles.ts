/** Bundles that ask for much at once: what there is of a container, something could be left of. */
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Fd } from "../../../ffi/fd.ts";
import { POLLIN, waitReady } from "../../../ffi/poll.ts";
import { acceptUnix, listenUnix, receiveDescriptors } from "../../../ffi/scm.ts";
import type { OciHooks } from "../../../src/oci/runtime.ts";
import { type TestConfig, testConfig } from "../../harness/oci-bundle.ts";
import type { OciRuntime } from "../../harness/oci-runtime.ts";

export const variants = [
  "rich",
  "user namespace",
  "terminal",
  "host's processes",
  "read-only",
  "joined network",
] as const;
export type Variant = (typeof variants)[number];

const hookKinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] as const;

/** Every path that the containers of one variant need; all are made once. */
export class RichBundles {
  readonly #runtime: OciRuntime;

  constructor(runtime: OciRuntime) {
    this.#runtime = runtime;
    mkdirSync(this.#path("volume", "below"), { recursive: true });
    writeFileSync(this.#path("file"), "bound\n");
    for (const place of ["volume", "data", "scratch"]) mkdirSync(join(runtime.rootfs, place));
    for (const variant of variants) {
      mkdirSync(this.directory(variant));
      this.write(variant, "nobody", ["true"]);
    }
  }

  #path(...names: string[]): string {
    return this.#runtime.workspace.path("shared", ...names);
  }

  directory(variant: Variant): string {
    return this.#runtime.workspace.path(`bundle-${variants.indexOf(variant)}`);
  }

  /** Writes the variant's config.json for a container. @returns the bundle. */
  write(variant: Variant, id: string, args: string[]): string {
    const { workspace, rootfs } = this.#runtime;
    const config = testConfig(args, rootfs, `${workspace.cgroupParent}/${id}`);
    this.#enrich(config);
    if (variant === "user namespace") addUserNamespace(config);
    if (variant === "terminal") config.process.terminal = true;
    if (variant === "read-only") config.root.readonly = true;
    const namespaces = config.linux.namespaces!;
    if (variant === "host's processes") {
      config.linux.namespaces = namespaces.filter(({ type }) => type !== "pid");
      // No cgroupsPath: it is found by the container's name.
      delete config.linux.cgroupsPath;
    }
    if (variant === "joined network") namespaces.find(({ type }) => type === "network")!.path = workspace.path("netns");
    const directory = this.directory(variant);
    writeFileSync(join(directory, "config.json"), JSON.stringify(config));
    return directory;
  }

  #enrich(config: TestConfig): void {
    const bind = { type: "bind", options: ["rbind", "rprivate"] };
    config.mounts.push(
      { destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["nosuid", "size=1m"] },
      { destination: "/volume", source: this.#path("volume"), ...bind },
      { destination: "/etc/bound", source: this.#path("file"), type: "bind", options: ["bind", "ro"] },
      { destination: "/data", source: this.#path("volume"), type: "bind", options: ["rbind", "rslave", "ro"] },
    );
    config.process.rlimits!.push({ type: "RLIMIT_CORE", hard: 0, soft: 0 });
    config.annotations = { "org.example.note": "one of many" };
    config.linux.sysctl = { "net.ipv4.ip_unprivileged_port_start": "0" };
    config.linux.devices = [{ path: "/dev/one", type: "c", major: 1, minor: 3, fileMode: 0o666 }];
    config.linux.resources = {
      devices: [{ allow: false, access: "rwm" }],
      memory: { limit: 128 * 2 ** 20 },
      cpu: { shares: 512 },
      pids: { limit: 64 },
    };
    config.linux.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [{ names: ["kexec_load", "add_key"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
    };
    const hook = { path: "/bin/sh", args: ["sh", "-c", "cat >/dev/null"], timeout: 10 };
    config.hooks = Object.fromEntries(hookKinds.map((kind) => [kind, [hook]])) as OciHooks;
  }
}

function addUserNamespace(config: TestConfig): void {
  const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  config.linux.namespaces!.push({ type: "user" });
  // It cannot make device nodes; those of the host that it is given must be there.
  config.linux.devices = [];
  config.linux.uidMappings = map;
  config.linux.gidMappings = map;
}

/** What is given to one command: its streams, a descriptor to keep, a pid file, and a console socket to some. */
export class Surroundings implements Disposable {
  readonly pidFile: string;
  readonly #streams: string;
  readonly #console: string;
  readonly #listener: Fd | undefined;
  readonly #kept: number[] = [];

  constructor(runtime: OciRuntime, hasTerminal: boolean) {
    this.#streams = runtime.path("streams");
    this.pidFile = runtime.workspace.path("pid");
    this.#console = runtime.workspace.path("console");
    this.#listener = hasTerminal ? listenUnix(this.#console) : undefined;
  }

  /** The flags of create and `run --detach`. */
  get flags(): string[] {
    const console = this.#listener === undefined ? [] : ["--console-socket", this.#console];
    return ["--pid-file", this.pidFile, "--preserve-fds", "1", ...console];
  }

  /** Starts a command, which is killed if it comes to no end; the fourth descriptor is the one to preserve. */
  spawn(argv: string[]): Bun.Subprocess {
    const [out, err, kept] = [
      openSync(`${this.#streams}.out`, "w"),
      openSync(`${this.#streams}.err`, "w"),
      openSync("/dev/null", "r"),
    ];
    this.#kept.push(out, err, kept);
    return Bun.spawn(argv, { stdio: ["ignore", out, err, kept], timeout: 60_000, killSignal: "SIGKILL" });
  }

  /** Takes the terminal's master, which the command that has ended has sent; closes it. */
  takeTerminal(): void {
    if (this.#listener === undefined) return;
    if (!waitReady(this.#listener, POLLIN, 2000)) throw new Error("no connection to the console socket");
    using connection = acceptUnix(this.#listener);
    const { descriptors } = receiveDescriptors(connection);
    for (const descriptor of descriptors) descriptor.close();
    if (descriptors.length !== 1) throw new Error(`${descriptors.length} descriptors came over the console socket`);
  }

  get error(): Promise<string> {
    return Bun.file(`${this.#streams}.err`).text();
  }

  [Symbol.dispose](): void {
    this.#listener?.close();
    for (const descriptor of this.#kept) closeSync(descriptor);
    for (const path of [this.pidFile, this.#console, `${this.#streams}.out`, `${this.#streams}.err`]) {
      if (existsSync(path)) rmSync(path);
    }
  }
}
