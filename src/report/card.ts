/** The facts as a card for people, at most 80 columns wide. */
import { formatBytesBinary } from "../core/size.ts";
import type { Facts } from "./facts.ts";

const width = 80;
/** Where the second column begins. */
const indent = 16;

export interface CardStyle {
  /** Titles stand out, on a terminal. */
  bold: boolean;
}

export function formatCard(facts: Facts, style: CardStyle): string {
  const heading = (text: string): string => (style.bold ? `\x1b[1m${text}\x1b[0m` : text);
  const sections: [string, [string, string][]][] = [
    ["Process", processRows(facts)],
    ["Namespaces", namespaceRows(facts)],
    ["Privileges", privilegeRows(facts)],
    ["Limits", limitRows(facts)],
    ["Files", fileRows(facts)],
    ["Network", networkRows(facts)],
  ];
  const lines = [heading("Hello from tsd! This container is held like this:"), ""];
  for (const [title, rows] of sections) {
    lines.push(heading(title));
    for (const [name, text] of rows) lines.push(...formatRow(name, text));
    lines.push("");
  }
  lines.push("Run it again with --memory 128m, --cap-drop ALL, --read-only, --network none or");
  lines.push("--privileged and compare.");
  return lines.join("\n");
}

function processRows({ pid, processes, hostname, uid, gid, groups, kernel, cpus }: Facts): [string, string][] {
  const more = groups.filter((group) => group !== gid);
  const others = processes - 1;
  const sees =
    others === 0 ? "sees no other process" : `sees ${others} other ${others === 1 ? "process" : "processes"}`;
  return [
    ["process", `pid ${pid}, ${sees}`],
    [
      "user",
      `${uid === 0 ? "root" : "uid"} (${uid}), group ${gid}${more.length > 0 ? `, also ${more.join(" ")}` : ""}`,
    ],
    ["host name", hostname],
    ["kernel", `Linux ${kernel}, the host's; CPUs ${cpus}`],
  ];
}

function namespaceRows({ namespaces }: Facts): [string, string][] {
  const of = (owner: "own" | "host"): string =>
    namespaces
      .filter((namespace) => namespace.owner === owner)
      .map(({ type }) => type)
      .join(" ") || "none";
  return [
    ["its own", of("own")],
    ["the host's", of("host")],
  ];
}

function privilegeRows({ capabilities, noNewPrivileges, seccomp, label }: Facts): [string, string][] {
  const { effective, bounding, ambient, kernel } = capabilities;
  const same = effective.join() === bounding.join();
  const filters = seccomp.filters > 1 ? ` (${seccomp.filters} programs)` : "";
  const calls = {
    off: "no filter: every system call of the kernel can be made",
    strict: "strict: read, write and exit only",
    filter: `filtered by seccomp${filters}`,
  };
  return [
    ["capabilities", `${effective.length} of the kernel's ${kernel}${effective.length > 0 ? ":" : ""}`],
    ...(effective.length > 0 ? [["", effective.join(" ")] as [string, string]] : []),
    ...(same ? [] : [["can be gained", bounding.join(" ") || "none"] as [string, string]]),
    ...(ambient.length > 0 ? [["kept on exec", ambient.join(" ")] as [string, string]] : []),
    ["system calls", calls[seccomp.mode]],
    ["set-uid files", noNewPrivileges ? "give no privileges (no_new_privs)" : "work as usual"],
    ...(label === undefined ? [] : [["profile", label] as [string, string]]),
  ];
}

function limitRows({ limits }: Facts): [string, string][] {
  const { version, memory, memoryUsed, swap, cpus, pids, pidsUsed } = limits;
  if (version === undefined) return [["", "no cgroup is to be seen"]];
  const used = (value: string | undefined): string => (value === undefined ? "" : `, ${value} used`);
  const bytes = (value: number | undefined): string | undefined =>
    value === undefined ? undefined : formatBytesBinary(value);
  const none = "no limit";
  return [
    ["memory", `${bytes(memory) ?? none}${used(bytes(memoryUsed))}`],
    ...(memory === undefined ? [] : [["swap", swap === 0 ? "none" : (bytes(swap) ?? none)] as [string, string]]),
    ["CPU time", cpus === undefined ? none : `${Number(cpus.toFixed(3))} CPUs' worth`],
    ["processes", `${pids ?? none}${used(pidsUsed?.toString())}`],
    ["read from", `cgroup v${version}`],
  ];
}

function fileRows({ mounts }: Facts): [string, string][] {
  const { root, readOnly, hidden, memory, host } = mounts;
  const list = (paths: string[]): string => paths.join(" ") || "nothing";
  return [
    ["root", `${root.type}, ${root.readOnly ? "read-only" : "writable"}`],
    ["read-only", list(withoutControllers(readOnly))],
    ["hidden", list(hidden)],
    ["in memory", list(memory.map(({ path, bytes }) => (bytes ? `${path} (${formatBytesBinary(bytes)})` : path)))],
    ["from the host", list(host.map(({ path, readOnly: isFixed }) => (isFixed ? `${path} (read-only)` : path)))],
  ];
}

/** cgroup v1 has a mount for each controller. */
function withoutControllers(paths: string[]): string[] {
  const isController = (path: string): boolean => path.startsWith("/sys/fs/cgroup/");
  const others = paths.filter((path) => !isController(path));
  return others.length < paths.length ? [...others, "/sys/fs/cgroup/*"] : others;
}

function networkRows({ network }: Facts): [string, string][] {
  const { interfaces, gateway } = network;
  return [
    ...interfaces.map(({ name, addresses }): [string, string] => [name, addresses.join(" ") || "no address"]),
    ["gateway", gateway ?? "none: no way out"],
  ];
}

/** Wraps between words; a word that is longer than the line stands on one of its own. */
function formatRow(name: string, text: string): string[] {
  const lines: string[] = [];
  let line = `  ${name}`.padEnd(indent);
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = " ".repeat(indent);
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line.trimEnd()];
}
