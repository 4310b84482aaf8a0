import { readFileSync } from "../../../ffi/fs.ts";
import { resolve } from "../../../ffi/path.ts";
import { errorMessage, wrapError } from "../../core/errors.ts";
import type { OciProcess } from "../../oci/runtime.ts";
import { execInContainer } from "../exec.ts";
import { Foreground } from "../foreground.ts";
import type { ExecOptions } from "../options.ts";
import { readConfig } from "../store.ts";
import { recordedDriver } from "../systemd.ts";
import { type CommandContext, CommandFailure, command } from "./command.ts";
import { consoleSocketNotUsed, detachedStdio } from "./create-flags.ts";
import { type ExecFlagValues, execFlags, execProcess, type ProcessFlagValues } from "./exec-process.ts";
import { UsageError } from "./flags.ts";

/** What runc ends with when the process could not be started: no program of the container's had a say. */
const failureStatus = 255;

export const verb = command({
  argumentsUsage: "<container-id> <command> [command options]  || -p process.json <container-id>",
  help: [
    {
      heading: "",
      text:
        "<command> is looked up in the container. It runs with the container's configuration (user, environment,\n" +
        "capabilities, limits, seccomp), changed by the options, or with what process.json says.",
    },
    { heading: "EXAMPLE", text: "To list the processes of a container:\n\n    # tsd-runc exec <container-id> ps" },
  ],
  flags: execFlags,
  arguments: { min: 1, max: Number.POSITIVE_INFINITY },
  stopAtPositional: true,
  async run(context, flags, [id, ...args]) {
    try {
      return await exec(context, id!, args, flags);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new CommandFailure(`exec failed: ${errorMessage(error)}`, failureStatus, error);
    }
  },
});

async function exec(context: CommandContext, id: string, args: string[], flags: ExecFlagValues): Promise<number> {
  const process = await theProcess(context.root, id, args, flags);
  const terminal = process.terminal ?? false;
  const socket = flags["console-socket"];
  const cgroupDriver = await recordedDriver(context.root, id, "user");
  const options: Omit<ExecOptions, "stdio"> = {
    ...(flags["pid-file"] !== undefined && { pidFile: resolve(flags["pid-file"]) }),
    preserveFds: flags["preserve-fds"],
    cgroup: flags.cgroup.map(parseCgroup),
    ...(cgroupDriver && { cgroupDriver }),
    ignorePaused: flags["ignore-paused"],
    warn: (message) => context.log.warn(message),
  };
  if (flags.detach) {
    const stdio = detachedStdio(context.program, terminal, socket);
    execInContainer(context.root, id, process, { ...options, stdio }).pidfd.close();
    return 0;
  }
  if (socket !== undefined) throw consoleSocketNotUsed(context.program);
  using foreground = new Foreground({ terminal, subreaper: false });
  const started = execInContainer(context.root, id, process, { ...options, stdio: foreground.stdio });
  using _pidfd = started.pidfd;
  return foreground.wait(started);
}

/** The process that the words and flags of a command line ask for. */
export async function theProcess(
  root: string,
  id: string,
  args: string[],
  flags: ProcessFlagValues,
): Promise<OciProcess> {
  // Says first that there is no such container, whatever else is wrong.
  const own = readConfig(root, id).process;
  if (flags.process !== undefined) {
    const { parseProcess } = await import("../../oci/runtime.ts");
    let json: string;
    try {
      json = readFileSync(flags.process, "utf8");
    } catch (error) {
      throw wrapError(error, "process file");
    }
    return parseProcess(json, flags.process);
  }
  if (args.length === 0) throw new Error("no command: give one, or --process with a file");
  return execProcess(own ?? { cwd: "/" }, args, flags);
}

/** `path`, or `controller[,controller]:path`. */
function parseCgroup(text: string): { controllers?: string[]; path: string } {
  const colon = text.indexOf(":");
  return colon < 0 ? { path: text } : { controllers: text.slice(0, colon).split(","), path: text.slice(colon + 1) };
}
