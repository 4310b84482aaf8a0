/** Where everything lies: below the root what lasts, below the state directory what ends with the boot. */
import { join } from "node:path";

export interface ContainerPaths {
  /** The container's own directory: bundle, files of /etc, log. */
  directory: string;
  config: string;
  /** Where the root file system is mounted, inside the container's mount namespace only. */
  rootfs: string;
  hosts: string;
  hostname: string;
  resolvConf: string;
  /** Of the json-file driver. */
  log: string;
  /** Of the local driver, and the copy that is kept of what goes to a driver that cannot be read. */
  localLog: string;
  /** The program of `--init`. Not below the state directory: /run, on many hosts, is mounted noexec. */
  init: string;
  /** A directory for each checkpoint, by its name. */
  checkpoints: string;
  /** criu's logs. */
  criuLogs: string;
  /** `shim.json` and `exit.json`. */
  state: string;
  shimRecord: string;
  exitRecord: string;
}

export class Layout {
  readonly root: string;
  readonly state: string;

  constructor(root: string, state: string) {
    this.root = root;
    this.state = state;
  }

  get database(): string {
    return join(this.root, "metadata.db");
  }

  get containers(): string {
    return join(this.root, "containers");
  }

  get containerStates(): string {
    return join(this.state, "containers");
  }

  /** Sockets of shims have short names: a socket's path has at most 107 bytes (unix(7)). */
  get shims(): string {
    return join(this.state, "shims");
  }

  get shimLog(): string {
    return join(this.state, "shims.log");
  }

  /** Of `tsd proxy`, which holds the host's sockets of published ports. */
  get proxySocket(): string {
    return join(this.state, "proxy.sock");
  }

  get proxyLog(): string {
    return join(this.state, "proxy.log");
  }

  /** Of `tsd resolver`, which answers containers' questions for names. */
  get resolverSocket(): string {
    return join(this.state, "resolver.sock");
  }

  get resolverLog(): string {
    return join(this.state, "resolver.log");
  }

  /** Mounts on their way into containers. Nothing in it may ever be removed recursively. */
  get mountPlaces(): string {
    return join(this.state, "mounts");
  }

  /** /dev/shm of containers that share it, by their ids. */
  get sharedMemory(): string {
    return join(this.state, "shm");
  }

  /** The built-in runtime's state root. */
  get runtime(): string {
    return join(this.state, "runtime");
  }

  container(id: string): ContainerPaths {
    const directory = join(this.containers, id);
    const state = join(this.containerStates, id);
    return {
      directory,
      config: join(directory, "config.json"),
      rootfs: join(directory, "rootfs"),
      hosts: join(directory, "hosts"),
      hostname: join(directory, "hostname"),
      resolvConf: join(directory, "resolv.conf"),
      log: join(directory, `${id}-json.log`),
      localLog: join(directory, "local-logs", "container.log"),
      init: join(directory, "init"),
      checkpoints: join(directory, "checkpoints"),
      criuLogs: join(directory, "criu"),
      state,
      shimRecord: join(state, "shim.json"),
      exitRecord: join(state, "exit.json"),
    };
  }
}
