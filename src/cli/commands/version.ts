import type { Client } from "../../client/client.ts";
import { clientVersion } from "../client-version.ts";
import { command, noArguments } from "../command.ts";
import { stringFlag } from "../flags.ts";
import { compileOrSay } from "../format.ts";
import { printLine } from "../output.ts";
import { printTyped } from "../print-typed.ts";
import type { Session } from "../session.ts";
import { ansicTime } from "../time.ts";

export const versionCommand = command({
  usage: "[OPTIONS]",
  summary: "Show the tsd version information",
  aliases: ["version"],
  flags: { format: stringFlag("Format output using a custom template: 'json' or 'TEMPLATE'", { short: "f" }) },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const source = flags.format === "json" ? "{{json .}}" : flags.format;
    const template = source === "" ? undefined : compileOrSay(source, { name: "version" });
    if (typeof template === "number") return template;
    const client = clientVersion(session);
    const { server, failure } = await askServer(session);
    if (template !== undefined) {
      await printTyped(template, "system.versionInfo", { Client: client, Server: server ?? null });
    } else {
      printLine(clientText(client));
      if (server) printLine(`\n${serverText(server)}`);
    }
    if (failure) throw failure;
    return 0;
  },
});

type Server = Awaited<ReturnType<Client["version"]>>;

/** The client's own version is shown also when no daemon answers. */
async function askServer(session: Session): Promise<{ server?: Server; failure?: unknown }> {
  try {
    const server = await (await session.client()).version();
    const Components = server.Components.map(withReadableTime);
    return { server: { ...server, Components } };
  } catch (failure) {
    return { failure };
  }
}

function withReadableTime(component: Server["Components"][number]): Server["Components"][number] {
  const { Details } = component;
  const time = Details?.BuildTime;
  return time === undefined ? component : { ...component, Details: { ...Details, BuildTime: ansicTime(time) } };
}

function lines(title: string, rows: [string, string][]): string {
  return [title, ...rows.map(([name, value]) => ` ${`${name}:`.padEnd(19)}${value}`)].join("\n");
}

function clientText(client: Record<string, string>): string {
  return lines("Client: tsd", [
    ["Version", client.Version!],
    ["API version", client.ApiVersion!],
    ["Bun version", client.BunVersion!],
    ["Git commit", client.GitCommit!],
    ["Built", client.BuildTime!],
    ["OS/Arch", `${client.Os}/${client.Arch}`],
  ]);
}

function serverText(server: Server): string {
  const engine = server.Components.map((component) => {
    const details = component.Details ?? {};
    const shown = Object.entries(details).filter(([name]) =>
      ["GitCommit", "ApiVersion", "MinAPIVersion", "KernelVersion"].includes(name),
    );
    return lines(` ${component.Name}:`, [["Version", component.Version], ...shown]).replaceAll("\n", "\n ");
  });
  return [`Server: ${server.Platform.Name}`, ...engine].join("\n");
}
