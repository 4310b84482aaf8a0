import { EngineError } from "./errors.ts";

/** `algorithm:hex`, OCI image specification, descriptor.md "Digests". */
export type Digest = `${string}:${string}`;

/** Registered algorithms that tsd verifies, with the length of their hexadecimal form. */
export const digestHexLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** @throws EngineError invalid_argument when the text is no digest of a known algorithm. */
export function parseDigest(text: string): Digest {
  const separator = text.indexOf(":");
  const hexLength = digestHexLengths[text.slice(0, separator)];
  if (hexLength === undefined) {
    throw new EngineError("invalid_argument", `digest ${JSON.stringify(text)}: unsupported algorithm`);
  }
  const hex = text.slice(separator + 1);
  if (hex.length !== hexLength || !/^[0-9a-f]+$/.test(hex)) {
    throw new EngineError("invalid_argument", `digest ${JSON.stringify(text)}: not ${hexLength} lower-case hex digits`);
  }
  return text as Digest;
}

export function digestAlgorithm(digest: Digest): string {
  return digest.slice(0, digest.indexOf(":"));
}

export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

export function digestOf(data: Uint8Array | string, algorithm = "sha256"): Digest {
  return `${algorithm}:${new Bun.CryptoHasher(algorithm as Bun.SupportedCryptoAlgorithms).update(data).digest("hex")}`;
}

/** Hashes a stream piece by piece, in the algorithm of the digest that is expected. */
export class Digester {
  readonly #hash: Bun.CryptoHasher;
  readonly #algorithm: string;
  size = 0;

  constructor(algorithm = "sha256") {
    this.#hash = new Bun.CryptoHasher(algorithm as Bun.SupportedCryptoAlgorithms);
    this.#algorithm = algorithm;
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.size += chunk.byteLength;
  }

  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.digest("hex")}`;
  }
}
