/** The flags in front of the command. */
import { configDirectory } from "./config-directory.ts";
import { type ConnectionFlags, type Surroundings, tlsFileDefaults } from "./context/current.ts";
import { boolFlag, type FlagSet, type FlagValues, listFlag, type ParsedFlags, stringFlag } from "./flags.ts";

/** @param surroundings for help: where the files are that no flag names. */
export function globalFlags(surroundings?: Pick<Surroundings, "configDirectory" | "environment">) {
  const { configDirectory: directory = "", environment = {} } = surroundings ?? {};
  const files = tlsFileDefaults(directory, environment);
  const shown = (path: string) => (surroundings ? { shownDefault: JSON.stringify(path) } : {});
  return {
    config: stringFlag("Location of client config files", shown(configDirectory("", environment))),
    context: stringFlag(
      'Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with "context use")',
      { short: "c" },
    ),
    debug: boolFlag("Enable debug mode", { short: "D" }),
    help: boolFlag("Print usage", { short: "h", hidden: true }),
    host: listFlag("Daemon socket to connect to", { short: "H" }),
    "log-level": stringFlag('Set the logging level ("debug", "info", "warn", "error", "fatal")', {
      short: "l",
      initial: "info",
    }),
    tls: boolFlag("Use TLS; implied by --tlsverify"),
    tlscacert: stringFlag("Trust certs signed only by this CA", shown(files.ca)),
    tlscert: stringFlag("Path to TLS certificate file", shown(files.cert)),
    tlskey: stringFlag("Path to TLS key file", shown(files.key)),
    tlsverify: boolFlag("Use TLS and verify the remote"),
    version: boolFlag("Print version information and quit", { short: "v" }),
  } satisfies FlagSet;
}

type GlobalFlags = ReturnType<typeof globalFlags>;

export function connectionFlags(
  values: FlagValues<GlobalFlags>,
  given: ParsedFlags<GlobalFlags>["given"],
): ConnectionFlags {
  return {
    hosts: values.host,
    context: values.context,
    tls: values.tls,
    tlsVerify: values.tlsverify,
    namesTlsVerify: given.has("tlsverify"),
    tlsCa: values.tlscacert,
    tlsCert: values.tlscert,
    tlsKey: values.tlskey,
  };
}
