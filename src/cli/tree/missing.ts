/** docker's commands that tsd does not have yet, by their groups. */
const notBuiltIn: Record<string, string> = {
  "": "checkpoint",
};

/** Words of docker's users that are plugins of its command line, with what to do where there is none. */
const plugins: Record<string, string> = {
  bake: "install docker-buildx as ~/.docker/cli-plugins/docker-buildx, for builders of driver docker-container",
  buildx: "install docker-buildx as ~/.docker/cli-plugins/docker-buildx, for builders of driver docker-container",
  compose: "install Docker's Compose as ~/.docker/cli-plugins/docker-compose, or use docker-compose",
  trust: "verify images by their digest: IMAGE@sha256:…",
};

export interface Missing {
  /** Instead of "unknown command". */
  reason?: string;
  hint?: string;
}

/**
 * Why a command that docker has is not here; nothing for words that are no command of docker's either.
 * @param group what it is looked for in; "" at the top.
 */
export function whyMissing(name: string, group: string): Missing {
  if (notBuiltIn[group]?.split(" ").includes(name)) {
    return { reason: `${[group, name].filter(Boolean).join(" ")} is not built in tsd yet` };
  }
  const hint = group === "" && Object.hasOwn(plugins, name) ? plugins[name] : undefined;
  return hint === undefined ? {} : { hint };
}
