/** The plan of a container's first process: config.json, compiled. */
import { CLONE_NEWPID, CLONE_NEWUSER } from "../../../ffi/constants/namespace.ts";
import { O_DIRECTORY, O_PATH } from "../../../ffi/constants/open.ts";
import { PR_SET_DUMPABLE } from "../../../ffi/constants/process.ts";
import { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { type Ref, str } from "../../../ffi/plan/values.ts";
import { byteLength } from "../../../ffi/text.ts";
import type { OciLinux, OciProcess, RuntimeConfig } from "../../oci/runtime.ts";
import { attachAtPath } from "./attributes.ts";
import { begin, joinCgroups, setOomScore } from "./begin.ts";
import { checkCommand } from "./command.ts";
import {
  type CompiledPlan,
  type CopyUp,
  type InitContext,
  type PlanCheckpoint,
  preservedDescriptors,
} from "./context.ts";
import { checkUser, hide, prctl, raiseLimits } from "./credentials.ts";
import { addConsole, addDeviceLinks, addDevices } from "./devices.ts";
import { cleanPath, here, invalid, openInRoot, openMountPoint, unsupported } from "./emit.ts";
import { addHooks } from "./hooks.ts";
import { assumeIdentity, becomeCommand, type IdentityContext, usesProc } from "./identity.ts";
import { Mappings } from "./mappings.ts";
import { maskPaths, protectPaths } from "./masks.ts";
import { type Anchors, addMounts, hasForeignDev, openSources } from "./mounts.ts";
import { joinNamespaces, type Namespaces, raiseLoopback, readNamespaces, unshare, unshareTime } from "./namespaces.ts";
import { addSysctls, openProc, ownProc } from "./proc.ts";
import { enterRoot, finishRoot, isolateMounts, keepsPeers, openRoot, prepareRoot } from "./root.ts";
import { joinKeyring, refuseUnbuilt, setMemoryPolicy, setPersonality } from "./scheduling.ts";
import { giveStreams, openTerminal, startSession, type Terminal } from "./terminal.ts";

/**
 * Compiles the plan of a container's first process. Nothing is looked at but the arguments: the same configuration
 * makes the same plan.
 *
 * @throws EngineError invalid_argument or unsupported with the field of config.json.
 */
export function compileInit(config: RuntimeConfig, context: InitContext): CompiledPlan {
  const { process, linux = {} } = config;
  if (process === undefined) throw invalid("process", "missing");
  checkCommand(process);
  checkUser(process);
  refuseUnbuilt(linux);
  const init = new Init(config, linux, process, context);
  return init.compile();
}

class Init {
  readonly #plan = new PlanBuilder();
  readonly #config: RuntimeConfig;
  readonly #linux: OciLinux;
  readonly #process: OciProcess;
  readonly #context: InitContext;
  readonly #namespaces: Namespaces;
  /** The container's user namespace is not the host's. */
  readonly #mapped: boolean;
  /** Of mounts, and of the root's layers. */
  readonly #mappings: Mappings;
  #listener: Ref | undefined;
  readonly #copies = new Map<PlanCheckpoint, CopyUp>();

  constructor(config: RuntimeConfig, linux: OciLinux, process: OciProcess, context: InitContext) {
    this.#config = config;
    this.#linux = linux;
    this.#process = process;
    this.#context = context;
    this.#namespaces = readNamespaces(linux);
    const { own, joined } = this.#namespaces;
    this.#mapped = own.has("user") || joined.has("user");
    if (!own.has("mount") && !joined.has("mount")) {
      throw unsupported("linux.namespaces", "a container without a mount namespace is not built");
    }
    this.#mappings = new Mappings(config, context.rootfsMount?.mapped);
    if (context.unprivileged && this.#mappings.exist) {
      throw unsupported("mounts", "id-mapped mounts are not supported for rootless containers");
    }
  }

  compile(): CompiledPlan {
    const plan = this.#plan;
    begin(plan);
    const proc = openProc(plan);
    setOomScore(plan, this.#process, proc);
    joinCgroups(plan, this.#context.cgroupProcs, false, this.#context.awaitsAdmission);
    raiseLimits(plan, this.#process);
    this.#giveStreams();
    const prepared = this.#enterNamespaces(proc);
    const terminal = this.#makeRoot(proc, prepared);
    this.#nameHost();
    addSysctls(plan, this.#config, proc, this.#namespaces.own.union(this.#namespaces.joined));
    const hooks = this.#config.hooks?.startContainer?.length ? this.#config.hooks : undefined;
    const keepsProc = hooks !== undefined || usesProc(this.#process, this.#context.start);
    const identity = this.#identity(keepsProc ? this.#lastProc(proc) : undefined, terminal);
    if (identity.proc !== proc) plan.because("procfs", () => plan.close(proc));
    if (this.#context.start === "now") plan.because("progress", () => plan.checkpoint("recorded", true));
    assumeIdentity(plan, this.#process, identity);
    startSession(plan, terminal);
    becomeCommand(plan, this.#process, identity, this.#context.start, hooks);
    const { own } = this.#namespaces;
    const built = plan.build(own.has("pid") && !this.#handsOver() ? CLONE_NEWPID : 0);
    return {
      plan: built,
      descriptors: [...built.descriptors, ...preservedDescriptors(this.#context)],
      ...(terminal !== undefined && { terminal: terminal.master }),
      ...(this.#copies.size > 0 && { copies: this.#copies }),
      ...(this.#listener !== undefined && { seccompListener: this.#listener }),
    };
  }

  /**
   * Whether a second process is needed: a pid or time namespace that was joined or made by this one holds its children
   * only, and in a new user namespace the first process has still work to do outside.
   */
  #handsOver(): boolean {
    const { own, joined } = this.#namespaces;
    return this.#mapped || joined.has("pid") || own.has("time");
  }

  #giveStreams(): void {
    const { uidMappings: users } = this.#linux;
    if (users === undefined || !this.#mapped || this.#process.terminal || this.#context.unprivileged) return;
    giveStreams(this.#plan, this.#process, users);
  }

  /** @returns what was opened where the host's user namespace still counts. */
  #enterNamespaces(proc: Ref): { root?: Ref; sources: Map<number, Ref> } {
    const plan = this.#plan;
    const { own, joined } = this.#namespaces;
    const ownMounts = own.has("mount");
    let prepared: { root?: Ref; sources: Map<number, Ref> } = { sources: new Map() };
    if (this.#mapped && ownMounts && !this.#context.unprivileged) {
      const { mountLabel } = this.#linux;
      const mappings = this.#mappings;
      const { bundle } = this.#context;
      const sources = openSources(plan, this.#config, { bundle, peers: false, mappings, mountLabel });
      prepared = { root: prepareRoot(plan, this.#config, { ...this.#context, mappings }), sources };
    }
    joinNamespaces(plan, joined, { unprivileged: this.#context.unprivileged ?? false });
    if (own.has("time")) unshareTime(plan, this.#linux, proc);
    if (this.#handsOver()) {
      const bits = (own.has("user") ? CLONE_NEWUSER : 0) | (own.has("pid") ? CLONE_NEWPID : 0);
      plan.handOver(bits, { why: "linux.namespaces", what: "the container's first process" });
    }
    if (own.has("user")) plan.because("linux.uidMappings", () => this.#waitForMaps());
    if (this.#mapped) this.#becomeRoot();
    if (!this.#context.noNewKeyring) joinKeyring(plan, this.#context.id);
    unshare(plan, this.#namespaces, ["mount", "uts", "ipc", "network", "cgroup"]);
    if (own.has("network")) raiseLoopback(plan);
    return prepared;
  }

  /** The files of a process that is not dumpable are root's: an unprivileged parent could not write its maps. */
  #waitForMaps(): void {
    const { unprivileged } = this.#context;
    if (unprivileged) prctl(this.#plan, PR_SET_DUMPABLE, [1]);
    this.#plan.checkpoint("user-maps", true);
    if (unprivileged) hide(this.#plan);
  }

  /** Root of the user namespace: what is made from here on belongs to somebody whom the container knows. */
  #becomeRoot(): void {
    this.#plan.because(this.#namespaces.own.has("user") ? "linux.uidMappings" : "linux.namespaces", () => {
      this.#plan.call("setresgid", [0, 0, 0], { what: "group 0 of the user namespace" });
      this.#plan.call("setresuid", [0, 0, 0], { what: "user 0 of the user namespace" });
    });
  }

  /**
   * The procfs of the last steps. Another process in the pid namespace (of a pod, or an exec while this one waits for its
   * start) that has CAP_SYS_PTRACE can take every descriptor: the host's /proc would lead it by /proc/1/root to all
   * files of the host. Over a process of the host's user namespace those of another one have no such power.
   */
  #lastProc(proc: Ref): Ref {
    return this.#mapped ? proc : ownProc(this.#plan);
  }

  /** The mount namespace's content. A namespace that was joined has its own already. */
  #makeRoot(proc: Ref, prepared: { root?: Ref; sources: Map<number, Ref> }): Terminal | undefined {
    const plan = this.#plan;
    const config = this.#config;
    if (!this.#namespaces.own.has("mount")) return this.#openTerminalAtRoot();
    plan.call("umask", [0], { why: "modes" });
    // In a user namespace the kernel has cut the copies off already.
    const sharing = keepsPeers(config) && !this.#mapped;
    const sources = sharing
      ? openSources(plan, config, { bundle: this.#context.bundle, peers: true, mappings: this.#mappings })
      : prepared.sources;
    isolateMounts(plan, config);
    const root = prepared.root ?? openRoot(plan, config, this.#context);
    // In a user namespace the path of the root may be out of reach: the host's root is not, and it is left anyway.
    const attached = prepared.root;
    if (attached !== undefined) plan.because("root.path", () => attachAtPath(plan, attached, "/"));
    const anchors: Anchors = new Map();
    const finishMounts = addMounts(plan, config, root, {
      anchors,
      copies: this.#copies,
      bundle: this.#context.bundle,
      sources,
      mappings: this.#mappings,
      cgroupHierarchies: this.#context.cgroupHierarchies ?? [],
      cgroupNamespace: this.#namespaces.own.has("cgroup"),
      mountLabel: this.#linux.mountLabel,
    });
    if (!hasForeignDev(config)) {
      addDevices(plan, config, root, this.#mapped);
      addDeviceLinks(plan, root);
    }
    const terminal = this.#process.terminal ? openTerminal(plan, root, this.#process) : undefined;
    if (terminal !== undefined) this.#passTerminal(terminal, root);
    this.#makeDirectory(root);
    this.#runHooks(proc);
    protectPaths(plan, config, root, anchors);
    maskPaths(plan, config, root, anchors);
    for (const tree of anchors.values()) plan.because("mounts", () => plan.close(tree));
    finishMounts();
    enterRoot(plan, root, this.#context.noPivot ?? false);
    finishRoot(plan, config, root);
    plan.because("root.path", () => plan.close(root));
    return terminal;
  }

  /** The parent's come first, and it writes the state that the others read. */
  #runHooks(proc: Ref): void {
    const { hooks } = this.#config;
    const kinds = ["prestart", "createRuntime", "createContainer", "startContainer"] as const;
    if (!kinds.some((kind) => hooks?.[kind]?.length)) return;
    this.#plan.because("hooks", () => this.#plan.checkpoint("create-runtime", true));
    addHooks(this.#plan, hooks, "createContainer", proc);
  }

  #passTerminal(terminal: Terminal, root: Ref): void {
    this.#plan.because("process.terminal", () => {
      addConsole(this.#plan, root, terminal.slave);
      this.#plan.checkpoint("terminal", true);
      this.#plan.close(terminal.master);
    });
  }

  #openTerminalAtRoot(): Terminal | undefined {
    if (!this.#process.terminal) return undefined;
    return this.#plan.because("process.terminal", () => {
      const root = openInRoot(this.#plan, here, "/", O_PATH | O_DIRECTORY);
      const terminal = openTerminal(this.#plan, root, this.#process);
      this.#plan.checkpoint("terminal", true);
      this.#plan.close(terminal.master);
      this.#plan.close(root);
      return terminal;
    });
  }

  /** The working directory is made where it is missing and can be made; whether it can be entered chdir tells. */
  #makeDirectory(root: Ref): void {
    const path = cleanPath(this.#process.cwd);
    if (path === "/") return;
    const plan = this.#plan;
    plan.because("process.cwd", () => {
      const impossible = plan.label("the working directory cannot be made");
      plan.close(openMountPoint(plan, root, path, { onError: impossible }));
      plan.place(impossible);
    });
  }

  #nameHost(): void {
    const { hostname, domainname } = this.#config;
    const names = [
      ["hostname", "sethostname", hostname],
      ["domainname", "setdomainname", domainname],
    ] as const;
    for (const [field, call, name] of names) {
      if (name === undefined || name === "") continue;
      if (!this.#namespaces.own.has("uts"))
        throw invalid(field, "not allowed without a uts namespace of the container's own");
      this.#plan.call(call, [str(name), byteLength(name)], { why: field, what: name });
    }
  }

  #identity(proc: Ref | undefined, terminal: Terminal | undefined): IdentityContext {
    setPersonality(this.#plan, this.#linux);
    setMemoryPolicy(this.#plan, this.#linux);
    return {
      ...this.#context,
      terminal,
      proc,
      onListener: (listener) => {
        this.#listener = listener;
        this.#plan.because("linux.seccomp", () => {
          this.#plan.checkpoint("seccomp-listener", true);
          this.#plan.close(listener);
        });
      },
    };
  }
}
