import { listContainers } from "../state.ts";
import { UserNames } from "../user-names.ts";
import { command } from "./command.ts";
import { printLine } from "./output.ts";
import { type StateView, stateView } from "./state-view.ts";

export const verb = command({
  argumentsUsage: "",
  help: [
    {
      heading: "",
      text: 'The containers are those of the state root, which the global option "--root" names.',
    },
  ],
  flags: {
    format: { kind: "text", alias: "f", default: "table", usage: "select one of: table or json" },
    quiet: { kind: "boolean", alias: "q", usage: "display only container IDs" },
  },
  arguments: { min: 0, max: 0 },
  run({ root, log }, flags) {
    if (flags.format !== "table" && flags.format !== "json") throw new Error("invalid format option");
    const owners = new UserNames();
    const ownerName = (uid: number): string => owners.nameOf(uid) ?? `#${uid}`;
    const views = listContainers(root, (message) => log.warn(message)).map((view) =>
      stateView(view, ownerName(view.record.ownerUid)),
    );
    if (flags.quiet) for (const view of views) printLine(view.id);
    // An empty list is null in Go's encoding, which callers know; an empty array says the same and parses as well.
    else printLine(flags.format === "json" ? JSON.stringify(views) : table(views));
    return 0;
  },
});

const columns = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

/** Columns of at least twelve, three apart, as Go's tabwriter sets them for runc. */
function table(views: StateView[]): string {
  const rows = [
    columns,
    ...views.map((view) => [view.id, String(view.pid), view.status, view.bundle, view.created, view.owner]),
  ];
  const widths = columns.map((_, column) => Math.max(12, ...rows.map((row) => row[column]!.length + 3)));
  return rows
    .map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join(""))
    .join("\n");
}
