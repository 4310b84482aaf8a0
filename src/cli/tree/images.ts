/** `image …` and its short forms. */
import type { CommandDef } from "citty";
import { imageBuild } from "./elsewhere.ts";
import { group, leaf } from "./node.ts";

export const bundle: CommandDef = leaf(
  "bundle",
  "Write an image as an OCI bundle: rootfs and config.json",
  async () => (await import("../commands/bundle.ts")).bundleCommand,
);
export const history: CommandDef = leaf(
  "history",
  "Show the history of an image",
  async () => (await import("../commands/history.ts")).historyCommand,
);
export const importImage: CommandDef = leaf(
  "import",
  "Import the contents from a tarball to create a filesystem image",
  async () => (await import("../commands/import.ts")).importCommand,
);
const inspectImage = leaf(
  "inspect",
  "Display detailed information on one or more images",
  async () => (await import("../commands/inspect.ts")).inspectImageCommand,
);
export const images: CommandDef = leaf(
  "images",
  "List images",
  async () => (await import("../commands/images.ts")).imagesCommand,
);
export const load: CommandDef = leaf(
  "load",
  "Load an image from a tar archive or STDIN",
  async () => (await import("../commands/load.ts")).loadCommand,
);
const imagePrune = leaf(
  "prune",
  "Remove unused images",
  async () => (await import("../commands/image-prune.ts")).imagePruneCommand,
);
export const pull: CommandDef = leaf(
  "pull",
  "Download an image from a registry",
  async () => (await import("../commands/pull.ts")).pullCommand,
);
export const push: CommandDef = leaf(
  "push",
  "Upload an image to a registry",
  async () => (await import("../commands/push.ts")).pushCommand,
);
export const rmi: CommandDef = leaf(
  "rmi",
  "Remove one or more images",
  async () => (await import("../commands/rmi.ts")).rmiCommand,
);
export const save: CommandDef = leaf(
  "save",
  "Save one or more images to a tar archive (streamed to STDOUT by default)",
  async () => (await import("../commands/save.ts")).saveCommand,
);
export const search: CommandDef = leaf(
  "search",
  "Search Docker Hub for images",
  async () => (await import("../commands/search.ts")).searchCommand,
);
export const tag: CommandDef = leaf(
  "tag",
  "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  async () => (await import("../commands/tag.ts")).tagCommand,
);

export const imageGroup: CommandDef = group("image", "Manage images", {
  build: imageBuild,
  bundle,
  history,
  import: importImage,
  inspect: inspectImage,
  ls: images,
  list: images,
  load,
  prune: imagePrune,
  pull,
  push,
  rm: rmi,
  remove: rmi,
  rmi,
  save,
  tag,
});
