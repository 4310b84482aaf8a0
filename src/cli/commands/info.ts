import type { SystemInfo } from "../../api/schema/system.ts";
import { formatBytesBinary } from "../../core/size.ts";
import { version } from "../../core/version.ts";
import { clientVersion } from "../client-version.ts";
import { command, noArguments } from "../command.ts";
import { currentContext } from "../context/current.ts";
import { stringFlag } from "../flags.ts";
import { compileOrSay } from "../format.ts";
import { printError, printLine } from "../output.ts";
import { describePlugins, type PluginDescription } from "../plugins/plugins.ts";
import { printTyped } from "../print-typed.ts";
import type { Session } from "../session.ts";

export const infoCommand = command({
  usage: "[OPTIONS]",
  summary: "Display system-wide information",
  aliases: ["system info", "info"],
  flags: { format: stringFlag("Format output using a custom template: 'json' or 'TEMPLATE'", { short: "f" }) },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const template =
      flags.format === "" ? undefined : compileOrSay(flags.format === "json" ? "{{json .}}" : flags.format);
    if (typeof template === "number") return template;
    const plugins = await describePlugins(session);
    const { info, failure } = await askServer(session);
    if (template !== undefined) {
      const client = { ...clientVersion(session), Debug: isDebug(session), Warnings: null };
      const ClientInfo = { ...client, Plugins: plugins.map(pluginJson) };
      await printTyped(template, "system.dockerInfo", { ...info, ClientInfo });
    } else {
      printLine([...clientLines(session, plugins), "", "Server:", ...(info ? serverLines(info) : [])].join("\n"));
      for (const { path, problem } of plugins) {
        if (problem !== undefined) printError(`WARNING: Plugin ${JSON.stringify(path)} is not valid: ${problem}`);
      }
      for (const warning of info?.Warnings ?? []) printError(warning);
    }
    if (failure) throw failure;
    return 0;
  },
});

/** What is known of the client is shown also when no daemon answers. */
async function askServer(session: Session): Promise<{ info?: SystemInfo; failure?: unknown }> {
  try {
    return { info: await (await session.client()).info() };
  } catch (failure) {
    return { failure };
  }
}

function pluginJson({ name: Name, path: Path, problem: Err, ...plugin }: PluginDescription): object {
  if (Err !== undefined) return { Name, Path, Err };
  const { vendor: Vendor, version: Version, summary: ShortDescription } = plugin;
  return { SchemaVersion: "0.1.0", Vendor, Version, ShortDescription, Name, Path };
}

/** docker tells by this variable. */
function isDebug({ environment }: Session): boolean {
  return (environment.DEBUG ?? "") !== "";
}

function clientLines(session: Session, plugins: readonly PluginDescription[]): string[] {
  const valid = plugins.filter(({ problem }) => problem === undefined);
  return [
    "Client: tsd",
    ` Version:    ${version}`,
    ` Context:    ${currentContext(session)}`,
    ` Debug Mode: ${isDebug(session)}`,
    ...(valid.length > 0 ? [" Plugins:"] : []),
    ...valid.flatMap((plugin) => [
      `  ${plugin.name}: ${plugin.summary} (${plugin.vendor})`,
      `    Version:  ${plugin.version}`,
      `    Path:     ${plugin.path}`,
    ]),
  ];
}

function serverLines(info: SystemInfo): string[] {
  return [
    ` Containers: ${info.Containers}`,
    `  Running: ${info.ContainersRunning}`,
    `  Paused: ${info.ContainersPaused}`,
    `  Stopped: ${info.ContainersStopped}`,
    ` Images: ${info.Images}`,
    ` Server Version: ${info.ServerVersion}`,
    ` Storage Driver: ${info.Driver}`,
    ...info.DriverStatus.map(([name, value]) => `  ${name}: ${value}`),
    ` Logging Driver: ${info.LoggingDriver}`,
    ` Cgroup Driver: ${info.CgroupDriver}`,
    ` Cgroup Version: ${info.CgroupVersion}`,
    " Plugins:",
    `  Volume: ${info.Plugins.Volume.join(" ")}`,
    `  Network: ${info.Plugins.Network.join(" ")}`,
    ...(info.Plugins.Authorization?.length ? [`  Authorization: ${info.Plugins.Authorization.join(" ")}`] : []),
    `  Log: ${info.Plugins.Log.join(" ")}`,
    ...(info.CDISpecDirs?.length ? [" CDI spec directories:", ...info.CDISpecDirs.map((path) => `  ${path}`)] : []),
    ...(info.DiscoveredDevices?.length
      ? [" Discovered Devices:", ...info.DiscoveredDevices.map(({ Source, ID }) => `  ${Source}: ${ID}`)]
      : []),
    ` Swarm: ${info.Swarm.LocalNodeState}`,
    ` Runtimes: ${Object.keys(info.Runtimes).join(" ")}`,
    ` Default Runtime: ${info.DefaultRuntime}`,
    " Security Options:",
    ...info.SecurityOptions.map((option) => `  ${option.replace(/^name=/, "").replace(/,/g, "\n   ")}`),
    ` Kernel Version: ${info.KernelVersion}`,
    ` Operating System: ${info.OperatingSystem}`,
    ` OSType: ${info.OSType}`,
    ` Architecture: ${info.Architecture}`,
    ` CPUs: ${info.NCPU}`,
    ` Total Memory: ${formatBytesBinary(info.MemTotal)}`,
    ` Name: ${info.Name}`,
    ` ID: ${info.ID}`,
    ` Root Dir: ${info.DockerRootDir}`,
    ` Debug Mode: ${info.Debug}`,
    ` Experimental: ${info.ExperimentalBuild}`,
    " Insecure Registries:",
    ...info.RegistryConfig.InsecureRegistryCIDRs.map((range) => `  ${range}`),
    ...(info.RegistryConfig.Mirrors.length > 0
      ? [" Registry Mirrors:", ...info.RegistryConfig.Mirrors.map((url) => `  ${url}`)]
      : []),
    ` Live Restore Enabled: ${info.LiveRestoreEnabled}`,
  ];
}
