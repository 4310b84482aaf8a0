/**
 * sd_notify(3) for containers: a service manager that started the runtime with NOTIFY_SOCKET hears when the program in
 * the container is ready. The container gets a socket of its own, whose directory is bound read-only at /run/notify,
 * and the runtime passes the news on as long as it is there: `run`, or `start` until the container has said READY=1.
 */
import type { Fd } from "../../ffi/fd.ts";
import { read, write } from "../../ffi/files.ts";
import { chmodSync, existsSync, mkdirSync, rmSync } from "../../ffi/fs.ts";
import { connectNotify, notifyBarrier } from "../../ffi/notify.ts";
import { join } from "../../ffi/path.ts";
import { POLLIN, PollSet } from "../../ffi/poll.ts";
import { bindDatagram } from "../../ffi/scm.ts";
import { errorMessage } from "../core/errors.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import type { StartedProcess } from "./options.ts";
import { notifyDirectoryName } from "./store.ts";

const socketName = "notify.sock";
const containerDirectory = "/run/notify";
const datagramBytesMax = 4096;
/** A service manager that lives answers at once. */
const barrierTimeoutMs = 5_000;

/** The runtime's end of a container's socket. */
export class Readiness implements Disposable {
  readonly #directory: string;
  readonly #manager: string;
  readonly #warn: (message: string) => void;
  #socket: Fd | undefined;

  /**
   * @param stateDirectory of the container; it need not be there yet.
   * @param manager the NOTIFY_SOCKET of the runtime itself.
   * @param warn hears that the service manager does not answer.
   */
  constructor(stateDirectory: string, manager: string, warn: (message: string) => void) {
    this.#directory = join(stateDirectory, notifyDirectoryName);
    this.#manager = manager;
    this.#warn = warn;
  }

  /** The container's configuration with the socket in it. */
  addTo(config: RuntimeConfig): RuntimeConfig {
    const options = ["bind", "nosuid", "noexec", "nodev", "ro"];
    const mount = { destination: containerDirectory, type: "bind", source: this.#directory, options };
    const process = config.process && {
      ...config.process,
      env: [...(config.process.env ?? []), `NOTIFY_SOCKET=${join(containerDirectory, socketName)}`],
    };
    return { ...config, mounts: [...(config.mounts ?? []), mount], ...(process && { process }) };
  }

  /** Makes the directory that is bound. `create` leaves the socket in it to `start`. */
  makeDirectory(): void {
    mkdirSync(this.#directory);
    // In spite of the umask: the container's user looks the socket up in it.
    chmodSync(this.#directory, 0o755);
  }

  /** Makes the socket. @returns false for a container that was created without a place for it. */
  listen(): boolean {
    if (!existsSync(this.#directory)) return false;
    const path = join(this.#directory, socketName);
    // Of a `start` before this one, that failed.
    rmSync(path, { force: true });
    this.#socket = bindDatagram(path);
    chmodSync(path, 0o777);
    return true;
  }

  /** Readable when the container has said something. */
  get descriptor(): Fd {
    if (this.#socket === undefined) throw new Error("the container's NOTIFY_SOCKET was never made");
    return this.#socket;
  }

  /**
   * Takes one message of the container's, of which only READY=1 is passed on.
   * @param mainPid the process that the service manager is to watch.
   * @returns whether the container is ready.
   */
  receive(mainPid: number): boolean {
    const buffer = new Uint8Array(datagramBytesMax);
    const message = Buffer.from(buffer.subarray(0, read(this.descriptor, buffer))).toString();
    const ready = message.split("\n").find((line) => line.startsWith("READY="));
    if (ready === undefined) return false;
    this.#tell(ready, mainPid);
    return true;
  }

  /** Waits until the container is ready, or its first process has ended. */
  waitUntilReady({ pid, pidfd }: StartedProcess): void {
    const set = new PollSet(2);
    set.set(0, this.descriptor, POLLIN);
    set.set(1, pidfd, POLLIN);
    for (;;) {
      set.wait(-1);
      if (set.ready(0)) {
        if (this.receive(pid)) return;
      } else if (set.ready(1)) {
        return;
      }
    }
  }

  /** A service manager that is gone is no reason to end a container. */
  #tell(ready: string, mainPid: number): void {
    try {
      using manager = connectNotify(this.#manager);
      write(manager, `${ready}\n`);
      write(manager, `MAINPID=${mainPid}\n`);
      if (!notifyBarrier(manager, barrierTimeoutMs)) this.#warn(`NOTIFY_SOCKET ${this.#manager}: no answer`);
    } catch (error) {
      this.#warn(`NOTIFY_SOCKET ${this.#manager}: ${errorMessage(error)}`);
    }
  }

  [Symbol.dispose](): void {
    this.#socket?.close();
  }
}
