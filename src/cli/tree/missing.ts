/** docker's commands that tsd does not have yet by their groups, and those that it will not have with the reason. */
const notBuiltIn: Record<string, string> = {
  container: "stats top update",
  image: "build",
  system: "dial-stdio",
};
const notBuilt = ["build", "builder", "buildx", "checkpoint", "compose", "cp", "plugin", "stats", "top", "update"];
const swarm = "config node secret service stack swarm";

/**
 * Why a command that docker has is not here; undefined for words that are no command of docker's either.
 * @param group what it is looked for in; "" at the top.
 */
export function whyMissing(name: string, group: string): string | undefined {
  if (group !== "") {
    return notBuiltIn[group]?.split(" ").includes(name) ? `${group} ${name} is not built in tsd yet` : undefined;
  }
  if (notBuilt.includes(name)) return `${name} is not built in tsd yet`;
  if (swarm.split(" ").includes(name)) return `${name} belongs to swarm, which tsd does not have`;
  if (name === "trust") return "trust is retired: verify images by their digest";
  return undefined;
}
