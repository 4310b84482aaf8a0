/** `manifest …`. */
import type { CommandDef } from "citty";
import { group, leaf } from "./node.ts";

const manifestCreate = leaf(
  "create",
  "Create a local manifest list for annotating and pushing to a registry",
  async () => (await import("../commands/manifest-create.ts")).manifestCreateCommand,
);
const manifestAnnotate = leaf(
  "annotate",
  "Add additional information to a local image manifest",
  async () => (await import("../commands/manifest-annotate.ts")).manifestAnnotateCommand,
);
const manifestInspect = leaf(
  "inspect",
  "Display an image manifest, or manifest list",
  async () => (await import("../commands/manifest-inspect.ts")).manifestInspectCommand,
);
const manifestPush = leaf(
  "push",
  "Push a manifest list to a repository",
  async () => (await import("../commands/manifest-push.ts")).manifestPushCommand,
);
const manifestRm = leaf(
  "rm",
  "Delete one or more manifest lists from local storage",
  async () => (await import("../commands/manifest-rm.ts")).manifestRmCommand,
);

export const manifestGroup: CommandDef = group("manifest", "Manage manifests and manifest lists", {
  annotate: manifestAnnotate,
  create: manifestCreate,
  inspect: manifestInspect,
  push: manifestPush,
  rm: manifestRm,
});
