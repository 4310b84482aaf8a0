/**
 * The nouns of docker's that tsd knows without having what they are about: each verb says so, and what to use. By verb
 * the words behind it, and what it would do.
 */
import type { CommandDef } from "citty";
import type { Elsewhere } from "../commands/elsewhere.ts";
import { group, leaf } from "./node.ts";

type Verbs = Record<string, [usage: string, summary: string]>;

const configVerbs: Verbs = {
  create: ["[OPTIONS] CONFIG file|-", "Create a config from a file or STDIN"],
  inspect: ["[OPTIONS] CONFIG [CONFIG...]", "Display detailed information on one or more configs"],
  ls: ["[OPTIONS]", "List configs"],
  rm: ["CONFIG [CONFIG...]", "Remove one or more configs"],
};
const nodeVerbs: Verbs = {
  demote: ["NODE [NODE...]", "Demote one or more nodes from manager in the swarm"],
  inspect: ["[OPTIONS] self|NODE [NODE...]", "Display detailed information on one or more nodes"],
  ls: ["[OPTIONS]", "List nodes in the swarm"],
  promote: ["NODE [NODE...]", "Promote one or more nodes to manager in the swarm"],
  ps: ["[OPTIONS] [NODE...]", "List tasks running on one or more nodes, defaults to current node"],
  rm: ["[OPTIONS] NODE [NODE...]", "Remove one or more nodes from the swarm"],
  update: ["[OPTIONS] NODE", "Update a node"],
};
const secretVerbs: Verbs = {
  create: ["[OPTIONS] SECRET [file|-]", "Create a secret from a file or STDIN as content"],
  inspect: ["[OPTIONS] SECRET [SECRET...]", "Display detailed information on one or more secrets"],
  ls: ["[OPTIONS]", "List secrets"],
  rm: ["SECRET [SECRET...]", "Remove one or more secrets"],
};
const serviceVerbs: Verbs = {
  create: ["[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a new service"],
  inspect: ["[OPTIONS] SERVICE [SERVICE...]", "Display detailed information on one or more services"],
  logs: ["[OPTIONS] SERVICE|TASK", "Fetch the logs of a service or task"],
  ls: ["[OPTIONS]", "List services"],
  ps: ["[OPTIONS] SERVICE [SERVICE...]", "List the tasks of one or more services"],
  rm: ["SERVICE [SERVICE...]", "Remove one or more services"],
  rollback: ["[OPTIONS] SERVICE", "Revert changes to a service's configuration"],
  scale: ["SERVICE=REPLICAS [SERVICE=REPLICAS...]", "Scale one or multiple replicated services"],
  update: ["[OPTIONS] SERVICE", "Update a service"],
};
const stackVerbs: Verbs = {
  config: ["[OPTIONS]", "Outputs the final config file, after doing merges and interpolations"],
  deploy: ["[OPTIONS] STACK", "Deploy a new stack or update an existing stack"],
  ls: ["[OPTIONS]", "List stacks"],
  ps: ["[OPTIONS] STACK", "List the tasks in the stack"],
  rm: ["[OPTIONS] STACK [STACK...]", "Remove one or more stacks"],
  services: ["[OPTIONS] STACK", "List the services in the stack"],
};
const swarmVerbs: Verbs = {
  ca: ["[OPTIONS]", "Display and rotate the root CA"],
  init: ["[OPTIONS]", "Initialize a swarm"],
  join: ["[OPTIONS] HOST:PORT", "Join a swarm as a node and/or manager"],
  "join-token": ["[OPTIONS] (worker|manager)", "Manage join tokens"],
  leave: ["[OPTIONS]", "Leave the swarm"],
  unlock: ["", "Unlock swarm"],
  "unlock-key": ["[OPTIONS]", "Manage the unlock key"],
  update: ["[OPTIONS]", "Update the swarm"],
};
const pluginVerbs: Verbs = {
  create: [
    "[OPTIONS] PLUGIN PLUGIN-DATA-DIR",
    "Create a plugin from a rootfs and configuration. Plugin data directory must contain config.json and rootfs directory.",
  ],
  disable: ["[OPTIONS] PLUGIN", "Disable a plugin"],
  enable: ["[OPTIONS] PLUGIN", "Enable a plugin"],
  inspect: ["[OPTIONS] PLUGIN [PLUGIN...]", "Display detailed information on one or more plugins"],
  install: ["[OPTIONS] PLUGIN [KEY=VALUE...]", "Install a plugin"],
  ls: ["[OPTIONS]", "List plugins"],
  push: ["[OPTIONS] PLUGIN[:TAG]", "Push a plugin to a registry"],
  rm: ["[OPTIONS] PLUGIN [PLUGIN...]", "Remove one or more plugins"],
  set: ["PLUGIN KEY=VALUE [KEY=VALUE...]", "Change settings for a plugin"],
  upgrade: ["[OPTIONS] PLUGIN [REMOTE]", "Upgrade an existing plugin"],
};

/** Other names of verbs. */
const aliases: Record<string, string> = { ls: "list", rm: "remove" };
const stackAliases: Record<string, string> = { ...aliases, deploy: "up", rm: "down" };

function verbsOf(
  noun: string,
  kind: Elsewhere["kind"],
  verbs: Verbs,
  otherNames = aliases,
): Record<string, CommandDef> {
  const entries = Object.entries(verbs).flatMap(([verb, [usage, summary]]): [string, CommandDef][] => {
    const path = `${noun} ${verb}`;
    const load = async () =>
      (await import("../commands/elsewhere.ts")).elsewhereCommand({ path, kind, usage, summary });
    const node = leaf(verb, summary, load);
    const other = otherNames[verb];
    return other === undefined
      ? [[verb, node]]
      : [
          [verb, node],
          [other, node],
        ];
  });
  return Object.fromEntries(entries);
}

/** Where there is no swarm, docker's help lists `swarm` alone, too. */
export const swarmGroup: CommandDef = group("swarm", "Manage Swarm, which tsd does not have", () =>
  verbsOf("swarm", "swarm", swarmVerbs),
);

export const hiddenSwarmGroups: Record<string, CommandDef> = {
  config: group("config", "Manage Swarm configs", () => verbsOf("config", "swarm", configVerbs), true),
  node: group("node", "Manage Swarm nodes", () => verbsOf("node", "swarm", nodeVerbs), true),
  secret: group("secret", "Manage Swarm secrets", () => verbsOf("secret", "swarm", secretVerbs), true),
  service: group("service", "Manage Swarm services", () => verbsOf("service", "swarm", serviceVerbs), true),
  stack: group("stack", "Manage Swarm stacks", () => verbsOf("stack", "swarm", stackVerbs, stackAliases), true),
};

const pluginLs = leaf("ls", "List plugins", async () => (await import("../commands/plugin-ls.ts")).pluginLsCommand);

export const pluginGroup: CommandDef = group("plugin", "Manage plugins", () => ({
  ...verbsOf("plugin", "plugin", pluginVerbs),
  ls: pluginLs,
  list: pluginLs,
}));

function buildLeaf(path: string): CommandDef {
  const [usage, summary] = ["[OPTIONS] PATH|URL|-", "Build an image from a Dockerfile"];
  return leaf(
    "build",
    summary,
    async () => (await import("../commands/elsewhere.ts")).elsewhereCommand({ path, kind: "build", usage, summary }),
    true,
  );
}

export const build: CommandDef = buildLeaf("build");
export const imageBuild: CommandDef = buildLeaf("image build");
export const builderGroup: CommandDef = group("builder", "Manage builds", {
  build: buildLeaf("builder build"),
  prune: leaf(
    "prune",
    "Remove build cache",
    async () => (await import("../commands/builder-prune.ts")).builderPruneCommand,
  ),
});
