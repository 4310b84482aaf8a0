import { apiVersion, buildTime, commit, version } from "../../core/version.ts";
import { command, noArguments } from "../command.ts";
import { stringFlag } from "../flags.ts";
import { printLine } from "../output.ts";
import { compileTemplate } from "../template/execute.ts";

export const versionCommand = command({
  usage: "[OPTIONS]",
  summary: "Show the tsd version information",
  aliases: ["version"],
  flags: { format: stringFlag("Format output using a custom template: 'json' or 'TEMPLATE'", { short: "f" }) },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const client = {
      Version: version,
      ApiVersion: apiVersion,
      DefaultAPIVersion: apiVersion,
      GitCommit: commit,
      GoVersion: "",
      BunVersion: Bun.version,
      Os: "linux",
      Arch: architecture(),
      BuildTime: buildTime,
      Context: "default",
    };
    const { server, failure } = await askServer(session);
    if (flags.format === "") {
      printLine(clientText(client));
      if (server) printLine(`\n${serverText(server)}`);
    } else {
      const data = { Client: client, Server: server ?? null };
      printLine(flags.format === "json" ? JSON.stringify(data) : compileTemplate(flags.format).execute(data));
    }
    if (failure) throw failure;
    return 0;
  },
});

type Server = Awaited<ReturnType<Awaited<ReturnType<import("../session.ts").Session["client"]>>["version"]>>;

/** The client's own version is shown also when no daemon answers. */
async function askServer(session: import("../session.ts").Session): Promise<{ server?: Server; failure?: unknown }> {
  try {
    return { server: await (await session.client()).version() };
  } catch (failure) {
    return { failure };
  }
}

function architecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
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
