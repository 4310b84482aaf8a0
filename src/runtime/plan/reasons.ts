/**
 * Why calls are made. A record's `why` is the field of config.json that asks for it; the rules here stand in its place
 * where no field does, and speak for fields that have a default. Only explanations load them.
 */
const rules: Readonly<Record<string, string>> = {
  hidden: "so that nothing in the container can trace this process or reach what it has open (CVE-2016-9962)",
  descriptors: "so that nothing of the host is inherited (CVE-2024-21626)",
  signals: "so that no signal is ignored or blocked for the program because it was for whoever started it",
  "standard streams": "so that descriptors 0 to 2 are the caller's streams, and nothing else gets their numbers",
  procfs:
    "so that what is set through /proc reaches the kernel, whatever is mounted there (CVE-2019-16884, CVE-2025-52881)",
  modes: "so that what is made for the container gets the permissions that are meant, not those that a umask leaves",
  session: "so that no terminal of the host's is this process's controlling terminal (TIOCSTI)",
  "session keyring":
    "so that the keys of whoever starts the container are not the container's; --no-new-keyring leaves it out",
  "default devices": 'because every container has them (config-linux.md, "Default Devices")',
  progress: "so that whoever starts the container learns how far it has come, and this ends when that one is gone",
  "exec.fifo": 'so that the program waits for "start"',
  "exec.fifo report": 'so that "start" learns which call has failed',
  "the container's namespaces": "because the process is to see what the container's own processes see",
  "a call failed": "so that nothing runs of a container that could not be set up",
};

/** What is done where the field is not given. */
const defaults: Readonly<Record<string, string>> = {
  "linux.cgroupsPath": "a cgroup with the container's name",
  "linux.rootfsPropagation": "mounts of the container do not show on the host",
  "linux.namespaces": "none",
  hooks: "none",
  "process.user": "root",
  "process.user.uid": "root",
  "process.user.umask": "0022",
  "process.capabilities": "none",
  "process.capabilities.bounding": "none",
  "process.terminal": "none",
  "process.env": "none",
};

/** A function that tells what a `why` means beside its being a field of `config`. */
export function reasonsFor(config: object): (why: string) => string | undefined {
  return (why) => {
    const rule = rules[why];
    if (rule !== undefined) return rule;
    const preset = defaults[why];
    return preset === undefined || hasField(config, why) ? undefined : `not given, which means ${preset}`;
  };
}

/** Whether a path such as `process.rlimits[0].type` or `linux.sysctl["a.b"]` leads to something that is there. */
export function hasField(config: object, path: string): boolean {
  let value: unknown = config;
  for (const [, name, index, key] of path.matchAll(/(?:^|\.)(\w+)|\[(\d+)\]|\["(.*)"\]/g)) {
    if (typeof value !== "object" || value === null) return false;
    value = (value as Record<string, unknown>)[name ?? index ?? key!];
  }
  return value !== undefined;
}

/** Whether a plan may give this as its reason: a field that is there or has a default, or a rule. */
export function isReason(config: object, why: string): boolean {
  return why in rules || why in defaults || hasField(config, why);
}
