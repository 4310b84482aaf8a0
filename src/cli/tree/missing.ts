/** Words of docker's users that are plugins of its command line, with what to do where there is none. */
const plugins: Record<string, string> = {
  bake: "install docker-buildx as ~/.docker/cli-plugins/docker-buildx, for builders of driver docker-container",
  buildx: "install docker-buildx as ~/.docker/cli-plugins/docker-buildx, for builders of driver docker-container",
  compose: "install Docker's Compose as ~/.docker/cli-plugins/docker-compose, or use docker-compose",
  trust: "verify images by their digest: IMAGE@sha256:…",
};

/**
 * What to do without a command that docker's users know; undefined for words that are no command of docker's either.
 * @param group what it is looked for in; "" at the top.
 */
export function hintForMissing(name: string, group: string): string | undefined {
  return group === "" && Object.hasOwn(plugins, name) ? plugins[name] : undefined;
}
