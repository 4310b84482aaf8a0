import type { Difference } from "./probe.ts";

/** Why runc 1.1.5 and tsd may differ in a line, and which lines those are. */
const explained: { section: string; lines: RegExp; reason: string }[] = [
  {
    section: "descriptors",
    lines: /^[012] (pipe:\[N\]|socket:\[N\]|\/dev\/null)$/,
    reason: "runc run copies the standard streams through pipes of its own; tsd hands over its caller's",
  },
  {
    section: "mountinfo",
    lines: / mask#\d+ \/ \S+ ro,relatime - tmpfs tmpfs ro$/,
    reason: "runc mounts an empty tmpfs over each masked directory; tsd mounts one over all of them",
  },
  {
    section: "mountinfo",
    lines: / \/ \/sys\/fs\/cgroup r[ow],nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755$/,
    reason: "the mount is asked to be read-only; runc leaves the directory of cgroup v1's hierarchies writable",
  },
  {
    section: "mountinfo",
    lines: / \/sys\/fs\/cgroup\/systemd \S+ - cgroup (cgroup|systemd) /,
    reason: "runc names the source of systemd's hierarchy, which means nothing, after it",
  },
  {
    section: "read-only",
    lines: /^\/sys\/fs\/cgroup may (not )?be written$/,
    reason: "the mount is asked to be read-only; runc leaves the directory of cgroup v1's hierarchies writable",
  },
  {
    section: "cgroup values",
    lines: /devices\.list: c 10:200 rwm$/,
    reason: "runc allowed /dev/net/tun to every container until version 1.2",
  },
];

/** Sorts differences into those that are explained, counted by line, and the rest. */
export class Explanations {
  readonly #counts = new Map<string, number>();

  /** @returns the lines that nothing explains. */
  add(differences: Difference[]): string[] {
    const unexplained: string[] = [];
    for (const { section, first, second } of differences) {
      const lines = [...first.map((line) => ["runc", line] as const), ...second.map((line) => ["tsd", line] as const)];
      for (const [runtime, line] of lines) {
        const reason = explained.find((it) => it.section === section && it.lines.test(line))?.reason;
        const text = `${section}: ${runtime}: ${line}`;
        if (reason === undefined) unexplained.push(text);
        else this.#count(`${text} (${reason})`);
      }
    }
    return unexplained;
  }

  #count(note: string): void {
    this.#counts.set(note, (this.#counts.get(note) ?? 0) + 1);
  }

  /** What was explained, each once, with how often it was seen. */
  notes(): string[] {
    return [...this.#counts].map(([note, count]) => `${note}, ${count} times`);
  }
}
