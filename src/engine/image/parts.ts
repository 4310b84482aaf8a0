/** The image part as the engine wants it. */

import type { Digest } from "../../core/digest.ts";
import { commitContainer } from "../../image/archive/commit.ts";
import { downloadArchive } from "../../image/archive/download-archive.ts";
import { importImage } from "../../image/archive/import.ts";
import { loadImages } from "../../image/archive/load.ts";
import { saveImages } from "../../image/archive/save.ts";
import { savedNames } from "../../image/archive/saved-names.ts";
import { attestationsOf } from "../../image/attestations.ts";
import { checkStore } from "../../image/check/check.ts";
import { collect } from "../../image/collection/collect.ts";
import { describeRemote } from "../../image/describe-remote.ts";
import { exportContainer } from "../../image/export-container.ts";
import type { ImageStore } from "../../image/images.ts";
import { storedManifests } from "../../image/manifests.ts";
import { pruneImage } from "../../image/prune-image.ts";
import { pullTags } from "../../image/pull-tags.ts";
import { registryOfServer } from "../../image/registry/login.ts";
import { pushRemoteIndex, readRemoteManifest } from "../../image/registry/remote-manifests.ts";
import { searchRegistry } from "../../image/registry/search.ts";
import { removePlatforms } from "../../image/remove-platforms.ts";
import { imageTotals, StoreMeter } from "../../image/store-usage.ts";
import { unpackImage } from "../../image/unpack-image.ts";
import type { ImagePart } from "../parts.ts";

export class ImageParts implements ImagePart {
  readonly #store: ImageStore;
  readonly #meter: StoreMeter;

  constructor(store: ImageStore) {
    this.#store = store;
    this.#meter = new StoreMeter(store);
  }

  resolve: ImagePart["resolve"] = (reference, platform) => this.#store.resolve(reference, platform);
  list: ImagePart["list"] = () => this.#store.list();
  pull: ImagePart["pull"] = (reference, options) => this.#store.pull(reference, options);
  push: ImagePart["push"] = (reference, options) => this.#store.push(reference, options);
  login: ImagePart["login"] = (server, credentials, signal) =>
    this.#store.registry.login(registryOfServer(server), credentials, signal);
  describeRemote: ImagePart["describeRemote"] = (reference, options) =>
    describeRemote(this.#store.registry, reference, options);
  pullTags: ImagePart["pullTags"] = (repository, options, onImage) =>
    pullTags(this.#store, repository, options, onImage);
  remove: ImagePart["remove"] = (reference, options) => this.#store.remove(reference, options);
  removePlatforms: ImagePart["removePlatforms"] = (reference, options) =>
    removePlatforms(this.#store, reference, options);
  tag: ImagePart["tag"] = (id, name) => this.#store.tag(id, name);
  manifests: ImagePart["manifests"] = (image) => storedManifests(this.#store, image);
  attestations: ImagePart["attestations"] = (image, options) => attestationsOf(this.#store, image, options);
  layerBytes: ImagePart["layerBytes"] = ({ chainId, isUnpacked }) =>
    chainId === undefined || !isUnpacked
      ? []
      : this.#store.layers
          .chain(chainId)
          .map(({ bytes }) => bytes)
          .reverse();
  identity: ImagePart["identity"] = (id) => {
    const repositories = this.#store.records.sources(id);
    return repositories.length === 0 ? undefined : { Pull: repositories.map((Repository) => ({ Repository })) };
  };
  remoteManifest: ImagePart["remoteManifest"] = (reference, options) =>
    readRemoteManifest(this.#store.registry, reference, options);
  pushRemoteIndex: ImagePart["pushRemoteIndex"] = (reference, index, images, options) =>
    pushRemoteIndex(this.#store.registry, reference, index, images, options);
  search: ImagePart["search"] = (options) => searchRegistry(this.#store.registry.requests, options);
  ensureUnpacked: ImagePart["ensureUnpacked"] = (image) => this.#store.ensureUnpacked(image);
  collect: ImagePart["collect"] = (options) => collect(this.#store, options);
  check: ImagePart["check"] = (options) => checkStore(this.#store, options);
  totals: ImagePart["totals"] = () => imageTotals(this.#store);
  measure: ImagePart["measure"] = (counted) => this.#meter.measure(counted);
  prune: ImagePart["prune"] = (id) => pruneImage(this.#store, id as Digest);
  touch: ImagePart["touch"] = (id) => this.#store.touch(id);
  unpack: ImagePart["unpack"] = (image, directory, signal) => unpackImage(this.#store, image, { directory, signal });
  save: ImagePart["save"] = (names, platforms, signal) => {
    const images = savedNames(this.#store, names);
    return { ids: images.map(({ id }) => id), archive: saveImages(this.#store, { images, platforms, signal }) };
  };
  loadArchive: ImagePart["loadArchive"] = (archive, options) => loadImages(this.#store, archive, options);
  downloadArchive: ImagePart["downloadArchive"] = (location, signal) =>
    downloadArchive(this.#store.registry.requests, location, signal);
  importArchive: ImagePart["importArchive"] = (archive, options) => importImage(this.#store, archive, options);
  commit: ImagePart["commit"] = (key, parent, options) => commitContainer(this.#store, key, parent, options);
  exportContainer: ImagePart["exportContainer"] = (key, signal) => exportContainer(this.#store, key, signal);
}
