/**
 * A file of the Container Device Interface, versions 0.3.0 to 1.1.0: what it says, and whether it may say that
 * (CNCF's container-device-interface, SPEC.md). A file with an unknown field is refused as a whole, as the
 * specification has it: the field might be what makes the device safe.
 */
import * as v from "valibot";
import { isCdiDeviceName, parseCdiKind } from "../../core/cdi-name.ts";
import { record } from "../../oci/record.ts";
import { hookNames } from "../../oci/runtime.ts";

/** YAML takes `name: 0` for a number; Go's parsers give it to whoever wants a text as one. */
const string = v.pipe(
  v.union([v.string(), v.number(), v.boolean()], (issue) => `text is wanted, not ${JSON.stringify(issue.input)}`),
  v.transform(String),
);
const texts = v.array(string);
const integer = v.pipe(v.number(), v.integer());
const unsigned = v.pipe(integer, v.minValue(0), v.maxValue(2 ** 32 - 1));
const annotations = record(string);

const deviceNode = v.strictObject({
  path: string,
  hostPath: v.optional(string),
  type: v.optional(string),
  major: v.optional(integer),
  minor: v.optional(integer),
  fileMode: v.optional(unsigned),
  permissions: v.optional(string),
  uid: v.optional(unsigned),
  gid: v.optional(unsigned),
});

const hook = v.strictObject({
  hookName: string,
  path: string,
  args: v.optional(texts),
  env: v.optional(texts),
  // Seconds.
  timeout: v.optional(v.pipe(integer, v.minValue(1), v.maxValue(2 ** 31 - 1))),
});

const mount = v.strictObject({
  hostPath: string,
  containerPath: string,
  options: v.optional(texts),
  type: v.optional(string),
});

const intelRdt = v.strictObject({
  closID: v.optional(string),
  l3CacheSchema: v.optional(string),
  memBwSchema: v.optional(string),
  schemata: v.optional(texts),
  enableMonitoring: v.optional(v.boolean()),
  // Dropped in 1.1; a runtime has nothing for them.
  enableCMT: v.optional(v.boolean()),
  enableMBM: v.optional(v.boolean()),
});

const containerEdits = v.strictObject({
  env: v.optional(texts),
  deviceNodes: v.optional(v.array(deviceNode)),
  netDevices: v.optional(v.array(v.strictObject({ hostInterfaceName: string, name: string }))),
  hooks: v.optional(v.array(hook)),
  mounts: v.optional(v.array(mount)),
  intelRdt: v.optional(intelRdt),
  additionalGids: v.optional(v.array(unsigned)),
});

const device = v.strictObject({ name: string, annotations: v.optional(annotations), containerEdits });

const schema = v.strictObject({
  cdiVersion: string,
  kind: string,
  annotations: v.optional(annotations),
  devices: v.array(device),
  containerEdits: v.optional(containerEdits, {}),
});

export type CdiSpec = v.InferOutput<typeof schema>;
export type CdiEdits = v.InferOutput<typeof containerEdits>;
export type CdiDeviceNode = v.InferOutput<typeof deviceNode>;

const versions = ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

/**
 * @param text JSON or YAML, which JSON is a part of.
 * @throws Error whose message is the reason, in the words of the reference implementation where it has some.
 */
export function parseCdiSpec(text: string): CdiSpec {
  const content = Bun.YAML.parse(withOctals(text));
  if (typeof content !== "object" || content === null || Array.isArray(content)) throw new Error("no object");
  const result = v.safeParse(schema, new Expansion(text).withoutNulls(content), { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw new Error(`${v.getDotPath(issue) ?? "the whole"}: ${issue.message}`);
  }
  const spec = result.output;
  checkVersion(spec);
  if (parseCdiKind(spec.kind) === undefined) {
    throw new Error(`invalid kind ${JSON.stringify(spec.kind)}: VENDOR/CLASS is wanted`);
  }
  checkAnnotations(spec.kind, spec.annotations);
  checkEdits(spec.containerEdits);
  const seen = new Set<string>();
  for (const one of spec.devices) {
    if (seen.has(one.name)) throw new Error(`invalid spec, multiple device ${JSON.stringify(one.name)}`);
    seen.add(one.name);
    try {
      checkDevice(spec.kind, one);
    } catch (error) {
      throw new Error(`invalid device ${JSON.stringify(one.name)}: ${(error as Error).message}`, { cause: error });
    }
  }
  return spec;
}

/** Version 1.1 of YAML, which Go's parsers read, writes a file's mode as 0660. */
function withOctals(content: string): string {
  return content.replace(/\b(fileMode["']?:[ \t]{1,99})0([0-7]{1,11})(?=[ \t,}\r\n]|$)/g, "$10o$2");
}

/** A document as a tree of its own: what YAML's aliases stand for is there as often as they are. */
class Expansion {
  /** What is written out has a character at least; so many more may come of aliases. */
  #left: number;

  constructor(text: string) {
    this.#left = text.length + 100_000;
  }

  /** What is null is absent, as in Go. */
  withoutNulls(value: unknown): unknown {
    if (--this.#left < 0) throw new Error("document contains excessive aliasing");
    if (Array.isArray(value)) return value.map((item) => this.withoutNulls(item));
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).filter(([, field]) => field !== null);
    return Object.fromEntries(entries.map(([name, field]) => [name, this.withoutNulls(field)]));
  }
}

function checkVersion(spec: CdiSpec): void {
  const version = spec.cdiVersion.replace(/^v/, "");
  if (!versions.includes(version)) throw new Error(`invalid version ${JSON.stringify(spec.cdiVersion)}`);
  const needed = versionNeeded(spec);
  if (versions.indexOf(version) < versions.indexOf(needed)) {
    throw new Error(`the spec version must be at least v${needed}`);
  }
}

/** The version of the specification that has brought the newest of what the file uses. */
function versionNeeded({ kind, annotations: own, devices, containerEdits: common }: CdiSpec): string {
  const all = [common, ...devices.map((one) => one.containerEdits)];
  const has = (edits: boolean[]) => edits.some(Boolean);
  const some = (record?: object) => Object.keys(record ?? {}).length > 0;
  const rdt = all.map((edits) => edits.intelRdt);
  if (has(all.map((edits) => some(edits.netDevices)))) return "1.1.0";
  if (has(rdt.map((one) => one?.schemata !== undefined || one?.enableMonitoring === true))) return "1.1.0";
  if (has([...rdt.map((one) => one !== undefined), ...all.map((edits) => some(edits.additionalGids))])) return "0.7.0";
  const isDotted = kind.slice(kind.indexOf("/")).includes(".");
  if (has([isDotted, some(own), ...devices.map((one) => some(one.annotations))])) return "0.6.0";
  const beginsWithDigit = devices.map(({ name }) => /^\d/.test(name));
  if (has([...beginsWithDigit, ...all.flatMap((edits) => (edits.deviceNodes ?? []).map((node) => !!node.hostPath))])) {
    return "0.5.0";
  }
  return has(all.flatMap((edits) => (edits.mounts ?? []).map((one) => !!one.type))) ? "0.4.0" : "0.3.0";
}

function checkDevice(
  kind: string,
  { name, annotations: own, containerEdits: edits }: CdiSpec["devices"][number],
): void {
  if (!isCdiDeviceName(name)) throw new Error("invalid name");
  checkAnnotations(`${kind}=${name}`, own);
  const isEmpty = Object.values(edits).every((edit) => Array.isArray(edit) && edit.length === 0);
  if (isEmpty) throw new Error("empty container edits");
  checkEdits(edits);
}

/** Kubernetes' rules, which the specification takes over, as far as they matter to who only reads. */
function checkAnnotations(name: string, given: Record<string, string> = {}): void {
  for (const key of Object.keys(given)) {
    const [, prefix, own = ""] = /^(?:([^/]*)\/)?([^/]*)$/.exec(key) ?? [];
    const isName = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/.test(own);
    const isPrefix =
      prefix === undefined || (prefix.length <= 253 && /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/i.test(prefix));
    if (!isName || !isPrefix) throw new Error(`invalid annotation ${JSON.stringify(key)} of ${name}`);
  }
  const bytes = Object.entries(given).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (bytes > 256 * 1024) throw new Error(`annotations of ${name} are too long: ${bytes} bytes of at most 262144`);
}

function checkEdits(edits: CdiEdits): void {
  checkEnvironment("container edits", edits.env);
  for (const { path, type = "", permissions = "" } of edits.deviceNodes ?? []) {
    if (path === "") throw new Error("invalid (empty) device path");
    if (!["", "b", "c", "u", "p"].includes(type)) {
      throw new Error(`device ${JSON.stringify(path)}: invalid type ${JSON.stringify(type)}`);
    }
    if (!/^[rwm]*$/.test(permissions)) {
      throw new Error(`device ${JSON.stringify(path)}: invalid permissions ${JSON.stringify(permissions)}`);
    }
  }
  for (const { hookName, path, env } of edits.hooks ?? []) {
    if (!hookNames.includes(hookName)) throw new Error(`invalid hook name ${JSON.stringify(hookName)}`);
    if (path === "") throw new Error(`invalid hook ${JSON.stringify(hookName)} with empty path`);
    // config.md of the OCI runtime: anything else would be looked for in the daemon's PATH.
    if (!path.startsWith("/")) throw new Error(`invalid hook ${JSON.stringify(hookName)}: ${path} is not absolute`);
    checkEnvironment(`hook ${JSON.stringify(hookName)}`, env);
  }
  for (const { hostPath, containerPath } of edits.mounts ?? []) {
    if (hostPath === "") throw new Error("invalid mount, empty host path");
    if (containerPath === "") throw new Error("invalid mount, empty container path");
  }
  for (const { hostInterfaceName, name } of edits.netDevices ?? []) {
    if (hostInterfaceName === "") throw new Error("invalid linux net device, empty HostInterfaceName");
    if (name === "") throw new Error("invalid linux net device, empty Name");
  }
  // A directory of resctrl has this name.
  const { closID = "" } = edits.intelRdt ?? {};
  if (closID.length >= 4096 || closID === "." || closID === ".." || /[/\n]/.test(closID)) {
    throw new Error("invalid ClosID");
  }
}

function checkEnvironment(of: string, variables: readonly string[] = []): void {
  const wrong = variables.find((variable) => variable.indexOf("=") <= 0);
  if (wrong !== undefined) throw new Error(`invalid ${of}: invalid environment variable ${JSON.stringify(wrong)}`);
}
