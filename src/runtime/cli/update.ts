import { readFileSync } from "../../../ffi/fs.ts";
import { wrapError } from "../../core/errors.ts";
import { parseResources } from "../../oci/runtime.ts";
import { readConfig } from "../store.ts";
import { recordedDriver } from "../systemd.ts";
import { updateContainer } from "../update.ts";
import { type CommandContext, command } from "./command.ts";
import { resourcesOfFlags, type UpdateFlagValues, updateFlags } from "./update-flags.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        "Changes limits of a container. What is not given stays as it is, and so does everything when one of them\n" +
        "is refused. With --resources the other options are ignored; its JSON is that of linux.resources, such as\n" +
        '{"memory": {"limit": 67108864}, "cpu": {"shares": 512}}, in which 0 leaves a value as it is.',
    },
  ],
  flags: updateFlags,
  arguments: { min: 1, max: 1 },
  async run(context, flags, [id]) {
    const config = readConfig(context.root, id!);
    const { resources: source } = flags;
    const resources =
      source === undefined
        ? resourcesOfFlags(flags)
        : parseResources(await textOf(source), source === "-" ? "standard input" : source);
    if (source === undefined) refuseSchemas(flags, config.linux?.intelRdt !== undefined);
    warnOfKernelMemory(context, resources.memory ?? {});
    updateContainer(context.root, id!, resources, await recordedDriver(context.root, id!));
    return 0;
  },
});

async function textOf(source: string): Promise<string> {
  if (source === "-") return await Bun.stdin.text();
  try {
    return readFileSync(source, "utf8");
  } catch (error) {
    throw wrapError(error, "resources file");
  }
}

function refuseSchemas(flags: UpdateFlagValues, hasIntelRdt: boolean): void {
  for (const name of ["l3-cache-schema", "mem-bw-schema"] as const) {
    if (!flags[name]) continue;
    const reason = hasIntelRdt ? "linux.intelRdt is not built" : "the container was created without linux.intelRdt";
    throw new Error(`--${name}: ${reason}`);
  }
}

function warnOfKernelMemory({ log }: CommandContext, memory: { kernel?: unknown; kernelTCP?: unknown }): void {
  if (memory.kernel || memory.kernelTCP) log.warn("limits of kernel memory are ignored: Linux has none since 5.16");
}
