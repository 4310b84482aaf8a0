/** What a process can see of its container, as named sections of lines, and how two such views are compared. */

/** Reads nothing but what a process finds out by itself; runs in busybox's sh and in Debian's. */
const script = `
section() { echo "@@ $1"; }
# Descriptors before anything else: the shell's own redirections would show.
section descriptors; for fd in /proc/$$/fd/*; do echo "\${fd##*/} $(readlink $fd)"; done
section mountinfo; cat /proc/self/mountinfo
section status; cat /proc/self/status
section limits; cat /proc/self/limits
section cgroup; cat /proc/self/cgroup
section "cgroup values"
for file in $(find /sys/fs/cgroup -type f 2>/dev/null | sort); do
  case $file in *usage*|*stat|*.procs|*/tasks|*failcnt*|*pids.current|*pids.peak|*event*|*_bytes_recursive|*blkio.throttle.io*) continue;; esac
  while IFS= read -r line; do echo "$file: $line"; done < $file
done 2>/dev/null
section environment; cat /proc/$$/environ | tr '\\0' '\\n'
section command; cat /proc/$$/cmdline | tr '\\0' '\\n'
section directory; pwd; readlink /proc/$$/cwd; readlink /proc/$$/root
section devices; find /dev -exec stat -c '%n %F %t:%T %a %u:%g' {} + | sort; find /dev -type l -exec readlink -n {} ';' -exec echo " {}" ';' | sort
section sysctls; for key in net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range net/ipv4/ip_forward kernel/shmmax kernel/msgmax kernel/sem kernel/hostname kernel/domainname fs/mqueue/msg_max; do
  echo "$key $(cat /proc/sys/$key)"; done
section process; echo "oom_score_adj $(cat /proc/$$/oom_score_adj)"; echo "umask $(umask)"; echo "hostname $(hostname)"
  echo "id $(id)"; cat /proc/$$/personality; cat /proc/$$/loginuid; cat /proc/$$/coredump_filter; cat /proc/$$/timerslack_ns
  cat /proc/$$/uid_map /proc/$$/gid_map /proc/$$/setgroups; echo "nice $(cut -d' ' -f19 /proc/$$/stat)"
  echo "pid $$"; echo "session $(cut -d' ' -f5,6,7,8 /proc/$$/stat)"
section keyring; cat /proc/keys
section namespaces; for name in /proc/$$/ns/*; do echo "\${name##*/} $(readlink $name)"; done
section masked; for path in /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/timer_list /proc/scsi /sys/firmware /proc/interrupts; do
  [ -e $path ] && echo "$path $(stat -c '%F %s %a %u:%g' $path) $(head -c 10 $path 2>&1 | wc -c) $(ls $path 2>/dev/null | wc -l)"; done
section read-only; for path in / /dev /dev/shm /tmp /sys /sys/fs/cgroup /proc/sys/kernel /proc/bus; do
  if [ -w $path ]; then echo "$path may be written"; else echo "$path may not be written"; fi; done
section loopback; cat /proc/net/dev | tail -n +3 | cut -d: -f1
section end
exit 7
`;

export const probeArgs: string[] = ["sh", "-c", script];

/** Lines by section. */
export type View = Map<string, string[]>;

/** @throws when the script did not come to its end. */
export function parseView(output: string): View {
  const view: View = new Map();
  let lines: string[] = [];
  for (const line of output.replaceAll("\r", "").split("\n")) {
    const name = /^@@ (.*)$/.exec(line)?.[1];
    if (name === undefined) lines.push(line);
    else {
      lines = [];
      view.set(name, lines);
    }
  }
  if (!view.has("end")) throw new Error(`the probe did not end:\n${output}`);
  return view;
}

/** Two runs of one bundle never have these alike: what names them is replaced by a word. */
export function maskView(view: View, id: string): View {
  const masked = new Map([...view].map(([name, lines]) => [name, lines.map((line) => maskLine(line, id))]));
  const mountinfo = masked.get("mountinfo");
  if (mountinfo) masked.set("mountinfo", maskMounts(view.get("mountinfo") ?? [], id));
  // Those of other containers on the host may be seen as well.
  masked.set("keyring", masked.get("keyring")?.filter((line) => line.includes("_ses.ID")) ?? []);
  return masked;
}

function maskLine(line: string, id: string): string {
  return (
    line
      .replaceAll(id, "ID")
      .replace(/\b(pipe|socket|mnt|net|ipc|uts|pid|user|cgroup|time|anon_inode):\[\d+\]/g, "$1:[N]")
      .replace(
        /^((?:Pid|Tgid|Ngid|PPid|NStgid|NSpid|NSpgid|NSsid|Vm\w+|Rss\w+|\w*ctxt_switches|Threads|FDSize|SigQ):)\s.*/,
        "$1 N",
      )
      // The first of a pid namespace is 1; in one that is joined it is whatever comes next.
      .replace(/^(pid|session) (?!1\b).*/, "$1 N")
      // The serial number and the usage count: proc_keys(5).
      .replace(/^[0-9a-f]{8} ([-A-Zi]{7}) +\d+ /, "KEY $1 N ")
  );
}

/**
 * Mount and device numbers become the order in which they first appear, and so do peer groups. The tmpfs over masked
 * directories are counted apart, so that their number changes no other line.
 */
function maskMounts(lines: string[], id: string): string[] {
  const [mounts, devices, masks, peers] = [new Numbering(), new Numbering(), new Numbering(), new Numbering()];
  return lines.map((line) => {
    const [mount, parent, device = "", ...rest] = line.split(" ");
    const isMask = rest.slice(2).join(" ") === "ro,relatime - tmpfs tmpfs ro";
    const name = isMask ? `mask${masks.of(device)}` : device.replace(/^0:.*/, (whole) => `0:${devices.of(whole)}`);
    return [mounts.of(mount!), mounts.of(parent!), name, ...rest]
      .join(" ")
      .replaceAll(id, "ID")
      .replace(/\b(shared|master|propagate_from):(\d+)/g, (_, kind, peer) => `${kind}:${peers.of(peer)}`);
  });
}

class Numbering {
  readonly #seen = new Map<string, number>();

  of(text: string): string {
    const known = this.#seen.get(text) ?? this.#seen.size + 1;
    this.#seen.set(text, known);
    return `#${known}`;
  }
}

export interface Difference {
  section: string;
  /** Lines that only the first view has, and that only the second has. */
  first: string[];
  second: string[];
}

/** Compares section by section; order counts where it is the kernel's own (mounts), and nowhere else. */
export function differences(first: View, second: View): Difference[] {
  const found: Difference[] = [];
  for (const section of new Set([...first.keys(), ...second.keys()])) {
    const [a, b] = [first.get(section) ?? [], second.get(section) ?? []];
    if (a.join("\n") === b.join("\n")) continue;
    const [onlyA, onlyB] = [without(a, b), without(b, a)];
    // The same lines in another order.
    if (onlyA.length + onlyB.length === 0) found.push({ section, first: a, second: b });
    else found.push({ section, first: onlyA, second: onlyB });
  }
  return found;
}

function without(lines: string[], others: string[]): string[] {
  const left = [...others];
  return lines.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
