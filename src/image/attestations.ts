/** What BuildKit has attached to an image: in-toto statements, each a layer of a manifest that stands beside the image's. */
import { EngineError, errorMessage } from "../core/errors.ts";
import type { Descriptor } from "../oci/image.ts";
import type { Image } from "./image.ts";
import type { ImageStore } from "./images.ts";
import { storedManifests } from "./manifests.ts";

const predicateType = "in-toto.io/predicate-type";

export interface Attestation {
  descriptor: Descriptor;
  predicateType: string;
  /** The statement's JSON; only where it is asked for. */
  statement?: object;
}

export interface AttestationOptions {
  /** Of any of these types; none: of all. */
  types: readonly string[];
  withStatements: boolean;
}

/**
 * Those of one platform of an image whose manifests are here: a pull leaves them in the registry, a load brings them.
 * @throws EngineError corrupt for what is no statement.
 */
export function attestationsOf(store: ImageStore, image: Image, options: AttestationOptions): Attestation[] {
  const manifests = storedManifests(store, image).filter(
    ({ attests, descriptor }) => attests === image.manifestDigest && store.content.has(descriptor.digest),
  );
  const layers = manifests.flatMap(({ descriptor }) => {
    const manifest = JSON.parse(Buffer.from(store.content.read(descriptor.digest)).toString()) as {
      layers?: Descriptor[];
    };
    return manifest.layers ?? [];
  });
  return layers.flatMap((descriptor) => {
    const type = descriptor.annotations?.[predicateType];
    if (type === undefined || (options.types.length > 0 && !options.types.includes(type))) return [];
    const statement = options.withStatements ? { statement: readStatement(store, descriptor) } : {};
    return [{ descriptor, predicateType: type, ...statement }];
  });
}

function readStatement(store: ImageStore, { digest }: Descriptor): object {
  try {
    const statement: unknown = JSON.parse(Buffer.from(store.content.read(digest)).toString());
    if (typeof statement === "object" && statement !== null) return statement;
    throw new Error("no object");
  } catch (error) {
    throw new EngineError("corrupt", `attestation ${digest}: ${errorMessage(error)}`, { cause: error });
  }
}
