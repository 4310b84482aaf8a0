import type { Client } from "../../client/client.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { formatObjects } from "../format.ts";
import { printError, printLine } from "../output.ts";
import { platformFlag } from "../platform-flag.ts";

const formatFlag = stringFlag("Format output using a custom template: 'json' or 'TEMPLATE'", { short: "f" });
const sizeFlag = boolFlag("Display total file sizes if the type is container", { short: "s" });

type Find = (client: Client, name: string) => Promise<unknown>;

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
    const find: Find = (client, name) => client.inspectImage(name, { ...(platform && { platform }) });
    return inspectAll(await session.client(), positionals, flags.format, find);
  },
});

function finderOf(type: string, size: boolean): Find {
  const container: Find = (client, name) => client.inspectContainer(name, { size });
  const image: Find = (client, name) => client.inspectImage(name);
  switch (type) {
    case "container":
      return container;
    case "image":
      return image;
    case "":
      return async (client, name) => {
        for (const find of [container, image]) {
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
        `${JSON.stringify(type)} is not a valid value for --type: container or image`,
      );
  }
}

/** What was found is printed even when some were not; the status tells. */
async function inspectAll(client: Client, names: string[], format: string, find: Find): Promise<number> {
  const found: unknown[] = [];
  const failures: string[] = [];
  for (const name of names) {
    try {
      found.push(await find(client, name));
    } catch (error) {
      if (!isEngineError(error)) throw error;
      failures.push(error.message);
    }
  }
  const text = formatObjects(found, format);
  if (text !== "") printLine(text);
  for (const failure of failures) printError(failure);
  return failures.length === 0 ? 0 : 1;
}
