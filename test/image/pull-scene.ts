/** Pulls of images of three layers, of which one is served badly: how they end, and what they leave for the next. */
import { expect } from "bun:test";
import { existsSync, globSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { makeCertificates } from "../harness/certificates.ts";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { Workspace } from "../harness/workspace.ts";
import { type Descriptor, HostileRegistry, type ImageOptions, noise } from "./hostile-registry.ts";
import type { Exchange, Rule } from "./registry-server.ts";

/** Makes a layer of one file. */
export type MakeLayer = (name: string, data: Uint8Array) => Uint8Array;

/** Of each layer; less than what a partial blob's map counts in, so that all of it is fetched by one request. */
export const layerBytes = 300_000;

export interface SceneImage {
  name: string;
  reference: string;
  manifest: Descriptor;
  config: Descriptor;
  /** From the bottom up. */
  layers: [Descriptor, Descriptor, Descriptor];
}

export class PullScene {
  readonly workspace: Workspace;
  readonly daemon: Daemon;
  readonly registry: HostileRegistry;
  /** Another server, where nobody's password belongs. */
  readonly elsewhere: HostileRegistry;
  readonly #makeLayer: MakeLayer;
  #count = 0;
  #rules: Rule[] = [];

  private constructor(
    workspace: Workspace,
    daemon: Daemon,
    [registry, elsewhere]: [HostileRegistry, HostileRegistry],
    makeLayer: MakeLayer,
  ) {
    this.workspace = workspace;
    this.daemon = daemon;
    this.registry = registry;
    this.elsewhere = elsewhere;
    this.#makeLayer = makeLayer;
  }

  static async open(makeLayer: MakeLayer, flags: string[] = []): Promise<PullScene> {
    const workspace = await Workspace.open();
    try {
      const { server } = await makeCertificates(workspace.path("certificates"), ["127.0.0.1"]);
      const registry = await HostileRegistry.start(workspace, 5555, server);
      const elsewhere = await HostileRegistry.start(workspace, 5565);
      const daemon = await Daemon.start(workspace, { flags: ["--registry-timeout", "2s", ...flags] });
      return new PullScene(workspace, daemon, [registry, elsewhere], makeLayer);
    } catch (error) {
      await workspace[Symbol.asyncDispose]();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.workspace[Symbol.asyncDispose]();
  }

  /** An image that has nothing in common with any other: what is stored already would not be asked for. */
  image(options: ImageOptions = {}): SceneImage {
    const name = `image${++this.#count}`;
    const tars = ["bottom", "middle", "top"].map((layer, index) => {
      const data = noise(layerBytes).map((byte) => byte ^ (this.#count + 16 * index));
      return this.#makeLayer(`${name}-${layer}`, data);
    });
    const added = this.registry.addImage(name, tars, { compression: "none", cmd: [name], ...options });
    return { ...added, name, layers: added.layers as SceneImage["layers"] };
  }

  /** Adds to how requests are answered: rules of other images stay, so that pulls may run side by side. */
  misbehave(...rules: Rule[]): void {
    this.#rules.push(...rules);
    this.registry.misbehave(...this.#rules);
  }

  /** Serves an image's blobs and manifests as is right from now on. */
  behave(): void {
    this.#rules = [];
    this.registry.misbehave();
  }

  /** The last line of what a pull that fails says, and what there is of it when it has failed. */
  async refusal(reference: string, flags: string[] = []): Promise<string> {
    const { status, stdout, stderr } = await this.daemon.tsd(["pull", ...flags, reference]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/\S/)]);
    expect(stdout).not.toContain("Status:");
    expect(await this.daemon.ok("images", "-q", reference.replace(/@.*/, ""))).toBe("");
    return stderr
      .trimEnd()
      .split("\n")
      .findLast((line) => !line.startsWith("hint:"))!;
  }

  /** Nothing half made is left but partial blobs, which are known by their digests. */
  async expectNothingLeft(): Promise<void> {
    const { root } = this.daemon;
    const halfMade = () => [
      ...globSync(join(root, "snapshots/partial*")),
      ...globSync(join(root, "**/*.tmp")),
      ...readdirSync(join(root, "content/ingest")).filter((name) => !/^sha256-[0-9a-f]{64}/.test(name)),
    ];
    await until("nothing half made is left", () => halfMade().length === 0);
  }

  hasBlob({ digest }: Descriptor): boolean {
    return existsSync(join(this.daemon.root, "content/blobs/sha256", digest.slice("sha256:".length)));
  }

  /** Bytes of a blob that the registry has sent since `since`. */
  sent({ digest }: Descriptor, since = 0): number {
    const exchanges = this.registry.exchanges().slice(since);
    const ofBlob = ({ path }: Exchange) => path.endsWith(`/blobs/${digest}`);
    return exchanges.filter(ofBlob).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  }

  /** Pulls an image that is served rightly. @returns bytes that were sent of each layer. */
  async goodPull(image: SceneImage): Promise<number[]> {
    const before = this.registry.exchanges().length;
    await this.daemon.ok("pull", "-q", image.reference);
    const sent = image.layers.map((layer) => this.sent(layer, before));
    const container = await this.daemon.ok("image", "inspect", "--format", "{{len .RootFS.Layers}}", image.reference);
    expect(container).toBe("3");
    return sent;
  }
}
