import type { ContainerInspect } from "../../api/schema/container.ts";
import type { Client } from "../../client/client.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { formatObjects } from "../format.ts";
import { objectFormatHelp } from "../help.ts";
import { printError, printLine } from "../output.ts";
import { platformFlag } from "../platform-flag.ts";

const formatFlag = stringFlag(objectFormatHelp, { short: "f" });
const sizeFlag = boolFlag("Display total file sizes if the type is container", { short: "s" });

/** An object, and the same with the names that docker's templates know its fields by, where those are not the JSON's. */
interface Found {
  json: object;
  view: object;
}

type Find = (client: Client, name: string) => Promise<Found>;

export const inspectCommand = command({
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  summary: "Return low-level information on tsd objects",
  flags: { format: formatFlag, size: sizeFlag, type: stringFlag("Only inspect objects of the given type") },
  arity: someArguments,
  run: async ({ session, flags, positionals }) =>
    inspectAll(await session.client(), positionals, flags.format, finderOf(flags.type, flags.size)),
});

export const inspectContainerCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Display detailed information on one or more containers",
  flags: { format: formatFlag, size: sizeFlag },
  arity: someArguments,
  run: async ({ session, flags, positionals }) =>
    inspectAll(await session.client(), positionals, flags.format, finderOf("container", flags.size)),
});

export const inspectImageCommand = command({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  summary: "Display detailed information on one or more images",
  flags: {
    format: formatFlag,
    platform: stringFlag(
      'Inspect a specific platform of the multi-platform image. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    ),
  },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const platform = platformFlag(flags.platform);
    const find: Find = async (client, name) =>
      withId(await client.inspectImage(name, { ...(platform && { platform }) }));
    return inspectAll(await session.client(), positionals, flags.format, find);
  },
});

export const inspectNetworkCommand = command({
  usage: "[OPTIONS] NETWORK [NETWORK...]",
  summary: "Display detailed information on one or more networks",
  flags: { format: formatFlag, verbose: boolFlag("Verbose output for diagnostics", { short: "v" }) },
  arity: someArguments,
  run: async ({ session, flags, positionals }) =>
    inspectAll(await session.client(), positionals, flags.format, networkFinder({ verbose: flags.verbose })),
});

export const inspectVolumeCommand = command({
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  summary: "Display detailed information on one or more volumes",
  flags: { format: formatFlag },
  arity: someArguments,
  run: async ({ session, flags, positionals }) =>
    inspectAll(await session.client(), positionals, flags.format, findVolume),
});

const findVolume: Find = async (client, name) => {
  const { inspectVolume } = await import("../../client/volumes.ts");
  const { volumeView } = await import("../volume-view.ts");
  const json = await inspectVolume(client, name);
  return { json, view: volumeView(json) };
};

function networkFinder(options: { verbose?: boolean }): Find {
  return async (client, name) => {
    const { inspectNetwork } = await import("../../client/networks.ts");
    const { networkView } = await import("../network-view.ts");
    const json = await inspectNetwork(client, name, options);
    return { json, view: networkView(json) };
  };
}

/** Templates know the JSON's `Id` as `.ID` too. */
function withId(json: { Id: string }): Found {
  return { json, view: Object.defineProperty({ ...json }, "ID", { value: json.Id }) };
}

/** Templates know as well what the JSON leaves out when it is empty, as the parts of a structure of Go's. */
function containerFound(json: ContainerInspect): Found {
  const { view } = withId(json);
  const Mounts = json.Mounts.map((mount) => withAbsent(mount, { Name: "", Driver: "" }));
  const HostConfig = withAbsent(json.HostConfig, { Mounts: null, Tmpfs: null, StorageOpt: null, Sysctls: null });
  return { json, view: Object.assign(view, { Mounts, HostConfig }) };
}

function withAbsent(value: object, empty: Record<string, unknown>): object {
  const absent = Object.entries(empty).filter(([name]) => !(name in value));
  const properties = absent.map(([name, field]) => [name, { value: field }] as const);
  return Object.defineProperties({ ...value }, Object.fromEntries(properties));
}

function finderOf(type: string, size: boolean): Find {
  const container: Find = async (client, name) => containerFound(await client.inspectContainer(name, { size }));
  const image: Find = async (client, name) => withId(await client.inspectImage(name));
  const network = networkFinder({});
  switch (type) {
    case "container":
      return container;
    case "image":
      return image;
    case "network":
      return network;
    case "volume":
      return findVolume;
    case "":
      return async (client, name) => {
        for (const find of [container, image, network, findVolume]) {
          try {
            return await find(client, name);
          } catch (error) {
            if (!isEngineError(error, "not_found")) throw error;
          }
        }
        throw new EngineError("not_found", `error: no such object: ${name}`);
      };
    default:
      throw new EngineError(
        "invalid_argument",
        `unknown type: ${JSON.stringify(type)}: must be one of "container", "image", "network", "volume"`,
      );
  }
}

/** What was found is printed even when some were not; the status tells. */
async function inspectAll(client: Client, names: string[], format: string, find: Find): Promise<number> {
  const found: Found[] = [];
  const failures: string[] = [];
  for (const name of names) {
    try {
      found.push(await find(client, name));
    } catch (error) {
      if (!isEngineError(error)) throw error;
      failures.push(error.message);
    }
  }
  printLine(formatObjects(found, format));
  for (const failure of failures) printError(failure);
  return failures.length === 0 ? 0 : 1;
}
