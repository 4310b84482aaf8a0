/** The messages between criu and who starts it: field numbers and enums of criu's images/rpc.proto. */
import { MessageReader, MessageWriter } from "./protobuf.ts";

/** enum criu_req_type; the answer to a request is of the same type. */
export const requestTypes = {
  DUMP: 1,
  RESTORE: 2,
  PRE_DUMP: 4,
  NOTIFY: 6,
  FEATURE_CHECK: 9,
  VERSION: 10,
} as const;
export type RequestType = keyof typeof requestTypes;

/** enum criu_cg_mode. */
export const cgroupModes = { ignore: 0, soft: 3, full: 4, strict: 5, default: 6 } as const;
export type CgroupMode = keyof typeof cgroupModes;

/** message criu_opts, as far as it is used. Descriptors are those of the process that made the socket. */
export interface CriuOptions {
  imagesDescriptor: number;
  workDescriptor?: number | undefined;
  pid?: number | undefined;
  leaveRunning?: boolean;
  extUnixSk?: boolean;
  tcpEstablished?: boolean;
  tcpSkipInFlight?: boolean;
  evasiveDevices?: boolean;
  shellJob?: boolean;
  fileLocks?: boolean;
  /** 0 to 4: errors are 1, debugging is 4. */
  logLevel?: number;
  logFile?: string;
  pageServer?: { address: string; port: number } | undefined;
  notifyScripts?: boolean;
  /** Absolute: where the container's root is on the host. */
  root?: string;
  /** Relative to the images. */
  parentImages?: string | undefined;
  trackMemory?: boolean;
  autoDedup?: boolean;
  linkRemap?: boolean;
  /** The cgroups that the restored processes get in place of those that they had: `controller` is empty for v2. */
  cgroupRoots?: readonly { controller: string; path: string }[];
  /** The first process becomes a child of who started criu. */
  restoreSibling?: boolean;
  /** In place of a resource that was not saved: a descriptor of criu's own. */
  inheritDescriptors?: readonly { key: string; descriptor: number }[];
  externalMasters?: boolean;
  cgroupMode?: CgroupMode;
  /** `mnt[PATH]:KEY` and its like. */
  external?: readonly string[];
  /** CLONE_NEW*: made, but neither saved nor restored. */
  emptyNamespaces?: number;
  joinNamespaces?: readonly { type: string; path: string }[];
  freezeCgroup?: string | undefined;
  lazyPages?: boolean;
  orphanTerminalMaster?: boolean;
  configFile?: string | undefined;
  lsmProfile?: string | undefined;
  lsmMountContext?: string | undefined;
  networkLock?: "iptables" | "nftables" | undefined;
}

const networkLocks = { iptables: 1, nftables: 2 } as const;

/** message criu_req with options. */
export function encodeRequest(type: RequestType, options?: CriuOptions): Uint8Array {
  return new MessageWriter()
    .integer(1, requestTypes[type])
    .message(2, options && optionsMessage(options))
    .finish();
}

/** The answer to a notification: whether what was to be done for it has been done. */
export function encodeNotified(success: boolean): Uint8Array {
  return new MessageWriter().integer(1, requestTypes.NOTIFY).boolean(3, success).finish();
}

/** What a feature check asks for. */
export function encodeFeatureCheck(): Uint8Array {
  const features = new MessageWriter().boolean(1, true).boolean(2, true);
  return new MessageWriter().integer(1, requestTypes.FEATURE_CHECK).message(5, features).finish();
}

function optionsMessage(options: CriuOptions): MessageWriter {
  const { pageServer, networkLock } = options;
  const server = pageServer && new MessageWriter().text(1, pageServer.address).integer(2, pageServer.port);
  const message = new MessageWriter()
    .integer(1, options.imagesDescriptor)
    .integer(2, options.pid)
    .boolean(3, options.leaveRunning)
    .boolean(4, options.extUnixSk)
    .boolean(5, options.tcpEstablished)
    .boolean(6, options.evasiveDevices)
    .boolean(7, options.shellJob)
    .boolean(8, options.fileLocks)
    .integer(9, options.logLevel)
    .text(10, options.logFile)
    .message(11, server)
    .boolean(12, options.notifyScripts)
    .text(13, options.root)
    .text(14, options.parentImages)
    .boolean(15, options.trackMemory)
    .boolean(16, options.autoDedup)
    .integer(17, options.workDescriptor)
    .boolean(18, options.linkRemap);
  if (options.cgroupMode !== undefined) {
    // The number of field 34 is newer; this one says whether at all.
    message.boolean(24, true).integer(34, cgroupModes[options.cgroupMode]);
  }
  for (const { controller, path } of options.cgroupRoots ?? []) {
    message.message(25, new MessageWriter().text(1, controller).text(2, path));
  }
  message.boolean(26, options.restoreSibling);
  for (const { key, descriptor } of options.inheritDescriptors ?? []) {
    message.message(27, new MessageWriter().text(1, key).integer(2, descriptor));
  }
  message.boolean(30, options.externalMasters);
  for (const resource of options.external ?? []) message.text(37, resource);
  message.integer(38, options.emptyNamespaces);
  for (const { type, path } of options.joinNamespaces ?? []) {
    message.message(39, new MessageWriter().text(1, type).text(2, path));
  }
  return message
    .text(44, options.freezeCgroup)
    .boolean(46, options.tcpSkipInFlight)
    .boolean(48, options.lazyPages)
    .boolean(50, options.orphanTerminalMaster)
    .text(51, options.configFile)
    .text(53, options.lsmProfile)
    .text(63, options.lsmMountContext)
    .integer(64, networkLock && networkLocks[networkLock]);
}

/** message criu_resp. */
export interface CriuResponse {
  /** A number that is not known here stays one. */
  type: RequestType | number;
  success: boolean;
  /** Why criu stops and waits for an answer. */
  notify?: { script: string; pid: number | undefined };
  /** Of the first process, after a restoration. */
  pid?: number;
  errno?: number;
  error?: string;
  features?: { memoryTracking: boolean; lazyPages: boolean };
  version?: { major: number; minor: number; sublevel: number };
}

/** @throws RangeError for bytes that are no message, TypeError for one that is no response. */
export function decodeResponse(bytes: Uint8Array): CriuResponse {
  const message = new MessageReader(bytes);
  const [number, success] = [message.integer(1), message.boolean(2)];
  if (number === undefined || success === undefined) throw new TypeError("no response of criu's");
  const known = Object.entries(requestTypes).find(([, value]) => value === number)?.[0];
  const [notify, restored, features, version] = [5, 4, 8, 10].map((field) => message.message(field));
  const [pid, errno, error] = [restored?.integer(1), message.integer(7), message.text(9)];
  return {
    type: (known as RequestType | undefined) ?? number,
    success,
    ...(notify && { notify: { script: notify.text(1) ?? "", pid: notify.integer(2) } }),
    ...(pid !== undefined && { pid }),
    ...(errno !== undefined && { errno }),
    ...(error !== undefined && { error }),
    ...(features && {
      features: { memoryTracking: features.boolean(1) ?? false, lazyPages: features.boolean(2) ?? false },
    }),
    ...(version && {
      version: {
        major: version.integer(1) ?? 0,
        minor: version.integer(2) ?? 0,
        sublevel: version.integer(4) ?? 0,
      },
    }),
  };
}
