/** `context …`. */
import type { CommandDef } from "citty";
import { group, leaf } from "./node.ts";

const contextCreate = leaf(
  "create",
  "Create a context",
  async () => (await import("../commands/context-create.ts")).contextCreateCommand,
);
const contextExport = leaf(
  "export",
  "Export a context to a tar archive FILE or a tar stream on STDOUT.",
  async () => (await import("../commands/context-export.ts")).contextExportCommand,
);
const contextImport = leaf(
  "import",
  "Import a context from a tar or zip file",
  async () => (await import("../commands/context-import.ts")).contextImportCommand,
);
const contextInspect = leaf(
  "inspect",
  "Display detailed information on one or more contexts",
  async () => (await import("../commands/context-inspect.ts")).contextInspectCommand,
);
const contextLs = leaf("ls", "List contexts", async () => (await import("../commands/context-ls.ts")).contextLsCommand);
const contextRm = leaf(
  "rm",
  "Remove one or more contexts",
  async () => (await import("../commands/context-rm.ts")).contextRmCommand,
);
const contextShow = leaf(
  "show",
  "Print the name of the current context",
  async () => (await import("../commands/context-show.ts")).contextShowCommand,
);
const contextUpdate = leaf(
  "update",
  "Update a context",
  async () => (await import("../commands/context-update.ts")).contextUpdateCommand,
);
const contextUse = leaf(
  "use",
  "Set the current docker context",
  async () => (await import("../commands/context-use.ts")).contextUseCommand,
);

export const contextGroup: CommandDef = group("context", "Manage contexts", {
  create: contextCreate,
  export: contextExport,
  import: contextImport,
  inspect: contextInspect,
  ls: contextLs,
  list: contextLs,
  rm: contextRm,
  remove: contextRm,
  show: contextShow,
  update: contextUpdate,
  use: contextUse,
});
