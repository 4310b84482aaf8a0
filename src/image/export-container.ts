/** A container's file system as one tar archive: its image's layers and its own as overlayfs puts them together. */
import type { ImageStore } from "./images.ts";
import { packStream } from "./pack/packer.ts";

/**
 * Of a running container too: the child that archives mounts the layers for itself, read-only, in a namespace of its
 * own, so that nothing of what is mounted in the container is there, and nothing the container does leads elsewhere.
 * @throws EngineError not_found without such a container, corrupt when a layer of it is missing.
 */
export async function* exportContainer(
  store: ImageStore,
  key: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const { upper, lower } = store.snapshots.mounts(key);
  const source = { directory: store.directories.empty(), layers: [upper, ...lower] };
  const program = store.options.packProgram;
  yield* packStream(source, { form: "tree", compression: "none" }, { signal, program });
  store.snapshots.mounts(key); // not removed meanwhile: then something would be missing
}
