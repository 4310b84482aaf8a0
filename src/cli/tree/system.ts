/** `system …`, and what belongs to no other noun. */
import type { CommandDef } from "citty";
import { group, leaf } from "./node.ts";

export const events: CommandDef = leaf(
  "events",
  "Get real time events from the server",
  async () => (await import("../commands/events.ts")).eventsCommand,
);
export const fsck: CommandDef = leaf(
  "fsck",
  "Find damage of what is stored, and repair it",
  async () => (await import("../commands/fsck.ts")).fsckCommand,
);
export const gc: CommandDef = leaf(
  "gc",
  "Remove what no image or container needs, and images when there is too little space",
  async () => (await import("../commands/gc.ts")).gcCommand,
);
export const info: CommandDef = leaf(
  "info",
  "Display system-wide information",
  async () => (await import("../commands/info.ts")).infoCommand,
);
export const inspect: CommandDef = leaf(
  "inspect",
  "Return low-level information on tsd objects",
  async () => (await import("../commands/inspect.ts")).inspectCommand,
);
export const login: CommandDef = leaf(
  "login",
  "Authenticate to a registry",
  async () => (await import("../commands/login.ts")).loginCommand,
);
export const logout: CommandDef = leaf(
  "logout",
  "Log out from a registry",
  async () => (await import("../commands/logout.ts")).logoutCommand,
);
const systemDf = leaf(
  "df",
  "Show tsd disk usage",
  async () => (await import("../commands/system-df.ts")).systemDfCommand,
);
const completionOf = (shell: "bash" | "fish" | "zsh") =>
  leaf(shell, `Generate the autocompletion script for ${shell}`, async () =>
    (await import("../commands/completion.ts")).completionCommand(shell),
  );
export const completionGroup: CommandDef = group(
  "completion",
  "Generate the autocompletion script for the specified shell",
  () => ({ bash: completionOf("bash"), fish: completionOf("fish"), zsh: completionOf("zsh") }),
);
const systemDialStdio = leaf(
  "dial-stdio",
  "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
  async () => (await import("../commands/system-dial-stdio.ts")).systemDialStdioCommand,
  true,
);
const systemPrune = leaf(
  "prune",
  "Remove unused data",
  async () => (await import("../commands/system-prune.ts")).systemPruneCommand,
);
export const version: CommandDef = leaf(
  "version",
  "Show the tsd version information",
  async () => (await import("../commands/version.ts")).versionCommand,
);

export const systemGroup: CommandDef = group("system", "Manage tsd", {
  df: systemDf,
  "dial-stdio": systemDialStdio,
  events,
  fsck,
  gc,
  info,
  prune: systemPrune,
});
