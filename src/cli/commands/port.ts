import type { NetworkSettings } from "../../api/schema/container.ts";
import { EngineError } from "../../core/errors.ts";
import { command } from "../command.ts";
import { joinHostPort } from "../host-port.ts";
import { compareNaturally } from "../natural-order.ts";
import { printLine } from "../output.ts";

export const portCommand = command({
  usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  summary: "List port mappings or a specific mapping for the container",
  aliases: ["container port", "port"],
  flags: {},
  arity: { min: 1, max: 2 },
  run: async ({ session, positionals }) => {
    const [container, port] = positionals as [string, string | undefined];
    const { NetworkSettings } = await (await session.client()).inspectContainer(container);
    const lines = port === undefined ? allPorts(NetworkSettings) : onePort(NetworkSettings, container, port);
    for (const line of lines.sort(compareNaturally)) printLine(line);
    return 0;
  },
});

function allPorts({ Ports }: NetworkSettings): string[] {
  return Object.entries(Ports).flatMap(([key, bindings]) =>
    (bindings ?? []).map(({ HostIp = "", HostPort = "" }) => `${key} -> ${joinHostPort(HostIp, HostPort)}`),
  );
}

/** @throws EngineError in docker's words. */
function onePort({ Ports }: NetworkSettings, container: string, asked: string): string[] {
  const [, port = "", protocol = ""] = /^([^/]*)\/?(.*)$/s.exec(asked) ?? [];
  if (!/^\d+$/.test(port)) throw invalid(asked, port, "invalid syntax");
  if (Number(port) > 65_535) throw invalid(asked, port, "value out of range");
  const bindings = Ports[`${port}/${protocol || "tcp"}`] ?? [];
  if (bindings.length === 0) {
    throw new EngineError("not_found", `Error: No public port '${asked}' published for ${container}`);
  }
  return bindings.map(({ HostIp = "", HostPort = "" }) => joinHostPort(HostIp, HostPort));
}

function invalid(asked: string, port: string, reason: string): EngineError {
  const text = `Error: invalid port (${asked}): strconv.ParseUint: parsing ${JSON.stringify(port)}: ${reason}`;
  return new EngineError("invalid_argument", text);
}
