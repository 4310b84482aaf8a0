/** A program that has a machine to itself, as far as namespaces go: whatever it finds besides itself it has made. */
import { dirname } from "node:path";
import { projectRoot } from "../../build/pinned.ts";
import { type CommandResult, command } from "./command.ts";
import { tsd } from "./workspace.ts";

/**
 * Runs a program of the project with process ids, mounts, IPC and a network of its own, below a first process that
 * reaps orphans. /tmp, /var/tmp, /run and /dev/shm are empty, /run/mqueue shows the POSIX message queues, and mounts
 * are shared, as on a host with systemd. Cgroups and keyrings are the host's.
 * @param argv of `bun`: the program's path, and its arguments.
 */
export function runIsolated(argv: string[], timeoutMs: number): Promise<CommandResult> {
  const unshare = ["unshare", "--pid", "--mount", "--ipc", "--net", "--fork", "--kill-child", "--mount-proc"];
  const kept = [...new Set([projectRoot, dirname(tsd), dirname(process.execPath)])];
  const words = [String(kept.length), ...kept, process.execPath, ...argv];
  return command([...unshare, "--propagation", "private", "bash", "-c", script, "bash", ...words], { timeoutMs });
}

/**
 * The mounts of others are taken away: they would go anyhow when what they are on is removed on the host. Bash reaps
 * every child that it has or gets, while it waits for one.
 */
const script = `set -eu
kept=("\${@:2:$1}")
shift $(($1 + 1))
foreign() {
  while read -r _ _ _ _ point _; do
    case $point in /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) continue ;; esac
    for path in "\${kept[@]}"; do [[ $path/ != "\${point%/}"/* ]] || continue 2; done
    printf '%b\\n' "$point"
  done < <(tac /proc/self/mountinfo)
}
# Of those that are seen, one may be gone before it is taken away.
for attempt in 1 2 3 4 5; do
  while read -r point; do umount -l "$point" || :; done < <(foreign)
done
if [ -n "$(foreign)" ]; then foreign >&2; exit 1; fi
mount -t tmpfs tmpfs /run
for index in "\${!kept[@]}"; do
  case \${kept[index]} in /tmp/* | /var/tmp/*) ;; *) unset "kept[index]"; continue ;; esac
  mkdir "/run/kept-$index"; mount --rbind "\${kept[index]}" "/run/kept-$index"
done
for place in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$place"; done
for index in "\${!kept[@]}"; do
  mkdir -p "\${kept[index]}"; mount --move "/run/kept-$index" "\${kept[index]}"; rmdir "/run/kept-$index"
done
mkdir /run/mqueue
mount -t mqueue mqueue /run/mqueue
ip link set lo up
mount --make-rshared /
"$@" & wait $!
`;
