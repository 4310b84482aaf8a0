/** Puts the engine together: its parts, each with what it needs of the configuration. */
import type { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import { openDatabase } from "../core/database.ts";
import type { LimitRefusal } from "../core/directory-limits.ts";
import { EngineError } from "../core/errors.ts";
import type { LogLevel } from "../core/log.ts";
import type { EngineConfiguration } from "../engine/configuration.ts";
import { ContainerStore } from "../engine/container/store.ts";
import { containerSchema } from "../engine/container/table.ts";
import { Engine, engineSchema } from "../engine/engine.ts";
import { eventSchema } from "../engine/event/history.ts";
import { healthSchema } from "../engine/health/table.ts";
import { ImageParts } from "../engine/image/parts.ts";
import { CgroupKernel, isServiceUnit, moveToCgroup } from "../engine/kernel.ts";
import type { Layout } from "../engine/layout.ts";
import { usesImage } from "../engine/mount/image-mount.ts";
import { ShimPool } from "../engine/shim/pool.ts";
import { readHostFacts } from "../engine/system/facts.ts";
import { readPath, statPath, writePath } from "../image/copy/copier.ts";
import { ImageStore } from "../image/images.ts";
import { imageSchema } from "../image/schema.ts";
import { defaultUnpackLimits } from "../image/unpack/protocol.ts";
import { Networks, type NetworksOptions } from "../network/networks.ts";
import { portsSchema } from "../network/ports/records.ts";
import { networkSchema } from "../network/schema.ts";
import { defaultPluginDirectories } from "../plugin/discovery.ts";
import { ProjectQuotas, quotaSchema } from "../quota/projects.ts";
import { VolumeDrivers } from "../volume/drivers.ts";
import { LocalDriver } from "../volume/local/driver.ts";
import { PluginMounts, pluginSchema } from "../volume/plugin/mounts.ts";
import { VolumePlugins } from "../volume/plugin/plugins.ts";
import { VolumeStore, volumeSchema } from "../volume/volumes.ts";
import { defaultRoot } from "./flags.ts";

/** Of everything that is in metadata.db. */
export const schemas = [
  engineSchema,
  eventSchema,
  containerSchema,
  healthSchema,
  volumeSchema,
  pluginSchema,
  imageSchema,
  networkSchema,
  portsSchema,
  quotaSchema,
];

export interface ComposedEngine {
  engine: Engine;
  close(): Promise<void>;
}

export async function composeEngine(
  configuration: EngineConfiguration,
  layout: Layout,
  logLevel: LogLevel,
): Promise<ComposedEngine> {
  // What containers are told in their variables is nobody else's business.
  const mask = process.umask(0o077);
  const database = openDatabase(layout.database, schemas);
  process.umask(mask);
  const containers = new ContainerStore(database);
  const quotas = new ProjectQuotas({ database, root: configuration.root });
  const images = new ImageStore({
    root: configuration.root,
    database,
    registry: {
      mirrors: configuration.registryMirrors,
      insecure: configuration.insecureRegistries,
      ...(configuration.certificateDirectories && { certificateDirectories: configuration.certificateDirectories }),
      ...(configuration.proxies && { proxies: configuration.proxies }),
      ...(configuration.registryTimeoutMs !== undefined && { stallTimeoutMs: configuration.registryTimeoutMs }),
    },
    limits: { ...defaultUnpackLimits, ...configuration.layerLimits },
    directoryLimits: quotas,
    usersOf: (imageId) =>
      containers
        .all()
        .filter(({ definition }) => usesImage(definition, imageId))
        .map(({ id, isUp }) => ({ containerId: id, running: isUp })),
  });
  if (configuration.containerBytes !== undefined) checkStorageLimits(images.snapshots.whyNoLimit());
  await images.start();
  const cgroup = isServiceUnit() ? `${configuration.cgroupParent}/shims` : undefined;
  const companions = companionsOf(layout, logLevel, cgroup);
  const networks = new Networks(networksOptions(database, configuration, companions));
  const volumes = new VolumeStore(database);
  const localVolumes = new LocalDriver(configuration.root, volumes.list(), quotas);
  const plugins = volumePlugins(database, configuration, volumes);
  const engine = await Engine.open(configuration, layout, {
    database,
    containers,
    images: new ImageParts(images),
    snapshots: images.snapshots,
    networks,
    volumes,
    volumeDrivers: new VolumeDrivers(localVolumes, plugins),
    shims: new ShimPool(layout, logLevel, cgroup),
    kernel: new CgroupKernel(),
    files: { stat: statPath, read: readPath, write: writePath },
    facts: readHostFacts,
  });
  // When it is known which containers and volumes there are.
  quotas.restore(new Set([...images.snapshots.paths(), ...localVolumes.limitedDirectories()]));
  return {
    engine,
    async close() {
      await engine.close();
      await plugins.close();
      await networks.close();
      await images.settled();
      quotas.close();
      database.close();
    },
  };
}

function volumePlugins(
  database: Database,
  { pluginDirectories, root, state }: EngineConfiguration,
  volumes: VolumeStore,
): VolumePlugins {
  return new VolumePlugins({
    mounts: new PluginMounts(database),
    directories: pluginDirectories ?? defaultPluginDirectories,
    reserved: ["/proc", "/sys", root, state],
    recorded: volumes.list().map(({ driver }) => driver),
  });
}

/** @throws EngineError invalid_argument in docker's words. */
function checkStorageLimits(refusal: LimitRefusal | undefined): void {
  if (refusal === undefined) return;
  throw new EngineError(
    "invalid_argument",
    `Storage option overlay2.size not supported. Filesystem does not support Project Quota: ${refusal.reason}`,
    refusal.hint === undefined ? {} : { hint: refusal.hint },
  );
}

function networksOptions(
  database: Database,
  { root, network }: EngineConfiguration,
  companions: NetworksOptions["companions"],
): NetworksOptions {
  const { bridge, addresses, ipv6, options, driverOptions, pools, forwarding, publish } = network;
  return {
    database,
    table: tableName(root),
    bridge: { name: bridge ?? bridgeName(root), addresses, ipv6, options },
    pools,
    driverOptions,
    forwarding,
    publish,
    companions,
  };
}

/** They outlive the daemon, as shims do, and have their place. */
function companionsOf(layout: Layout, logLevel: LogLevel, cgroup: string | undefined): NetworksOptions["companions"] {
  const onStarted = (pid: number): void => {
    if (cgroup !== undefined) moveToCgroup(pid, cgroup);
  };
  return {
    proxy: { socketPath: layout.proxySocket, logPath: layout.proxyLog, logLevel, onStarted },
    resolver: { socketPath: layout.resolverSocket, logPath: layout.resolverLog, logLevel, onStarted },
  };
}

/** Several daemons can be neighbours. */
function tableName(root: string): string {
  return root === defaultRoot ? "tsd" : bridgeName(root);
}

/** Daemons with roots of their own get bridges of their own; the system's daemon has the plain name. */
function bridgeName(root: string): string {
  return root === defaultRoot ? "tsd0" : `tsd-${createHash("sha256").update(root).digest("hex").slice(0, 8)}`;
}
