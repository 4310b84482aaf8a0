import type { Client } from "../../client/client.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import type { Found } from "../format.ts";
import { objectFormatHelp } from "../help.ts";
import { inspectAll } from "../inspect-all.ts";
import { platformFlag } from "../platform-flag.ts";
import type { Session } from "../session.ts";

const formatFlag = stringFlag(objectFormatHelp, { short: "f" });
const sizeFlag = boolFlag("Display total file sizes if the type is container", { short: "s" });

type Find = (client: Client, name: string) => Promise<Found>;

export const inspectCommand = command({
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  summary: "Return low-level information on tsd objects",
  flags: { format: formatFlag, size: sizeFlag, type: stringFlag("Only inspect objects of the given type") },
  arity: someArguments,
  run: async ({ session, flags, positionals }) =>
    inspectEach(session, positionals, flags.format, finderOf(flags.type, flags.size)),
});

export const inspectContainerCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Display detailed information on one or more containers",
  flags: { format: formatFlag, size: sizeFlag },
  arity: someArguments,
  run: async ({ session, flags, positionals }) =>
    inspectEach(session, positionals, flags.format, finderOf("container", flags.size)),
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
      found("image.InspectResponse", await client.inspectImage(name, { ...(platform && { platform }) }));
    return inspectEach(session, positionals, flags.format, find);
  },
});

export const inspectNetworkCommand = command({
  usage: "[OPTIONS] NETWORK [NETWORK...]",
  summary: "Display detailed information on one or more networks",
  flags: { format: formatFlag, verbose: boolFlag("Verbose output for diagnostics", { short: "v" }) },
  arity: someArguments,
  run: async ({ session, flags, positionals }) =>
    inspectEach(session, positionals, flags.format, networkFinder({ verbose: flags.verbose })),
});

export const inspectVolumeCommand = command({
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  summary: "Display detailed information on one or more volumes",
  flags: { format: formatFlag },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => inspectEach(session, positionals, flags.format, findTypedVolume),
});

const findVolume: Find = async (client, name) => {
  const { inspectVolume } = await import("../../client/volumes.ts");
  return found("volume.Volume", await inspectVolume(client, name));
};

/** docker's own command for volumes forgets their JSON. */
const findTypedVolume: Find = async (client, name) => ({ ...(await findVolume(client, name)), isTyped: true });

function networkFinder(options: { verbose?: boolean }): Find {
  return async (client, name) => {
    const { inspectNetwork } = await import("../../client/networks.ts");
    return found("network.Inspect", await inspectNetwork(client, name, options));
  };
}

/** @param type what docker's client has it as. */
async function found(type: string, json: object): Promise<Found> {
  const { dockerValue } = await import("../docker-types/docker-types.ts");
  return { json, view: dockerValue(type, json) };
}

function finderOf(type: string, size: boolean): Find {
  const container: Find = async (client, name) =>
    found("container.InspectResponse", await client.inspectContainer(name, { size }));
  const image: Find = async (client, name) => found("image.InspectResponse", await client.inspectImage(name));
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
      return finderElsewhere(type);
  }
}

/** What a swarm or a daemon with plugins of its own has; tsd's answers as one that has neither. */
const routesElsewhere: Record<string, string> = {
  config: "/configs/NAME",
  node: "/nodes/NAME",
  plugin: "/plugins/NAME/json",
  secret: "/secrets/NAME",
  service: "/services/NAME",
  task: "/tasks/NAME",
};

function finderElsewhere(type: string): Find {
  const route = Object.hasOwn(routesElsewhere, type) ? routesElsewhere[type]! : undefined;
  if (route === undefined) {
    const types = [...Object.keys(routesElsewhere), "container", "image", "network", "volume"].sort();
    const known = types.map((each) => JSON.stringify(each)).join(", ");
    throw new EngineError("invalid_argument", `unknown type: ${JSON.stringify(type)}: must be one of ${known}`);
  }
  return async ({ address }, name) => {
    const { request } = await import("../../client/http.ts");
    const json = await (await request(address, "GET", route.replace("NAME", encodeURIComponent(name)))).json<object>();
    return { json };
  };
}

async function inspectEach(session: Session, names: string[], format: string, find: Find): Promise<number> {
  const client = await session.client();
  return inspectAll(names, format, (name) => find(client, name));
}
