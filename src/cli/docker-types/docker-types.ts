/**
 * JSON of the API as docker's client has it when it applies a template: as structures of Go's, whose fields are all
 * there (`{{.ID}}` beside `{{.Id}}`), in their order, and print as Go prints them.
 */
import { encodeJson } from "../template/encode-json.ts";
import { TypeTable } from "../template/type-table.ts";
import { dynamicValue, type GoType, pointerTo, read, stringType, type Traits, Value } from "../template/types.ts";
import { containerTypes } from "./container.ts";
import { imageTypes } from "./image.ts";
import { modeTraits } from "./modes.ts";
import { networkTypes } from "./network.ts";
import { systemTypes } from "./system.ts";
import { durationTraits, timeTraits } from "./time.ts";

const specs: Record<string, string> = {
  "time.Time": "",
  "time.Duration": "= int64",
  "list.Platform": "...*v1.Platform",
  ...containerTypes,
  ...imageTypes,
  ...networkTypes,
  ...systemTypes,
};

interface Device {
  Path?: string;
  Weight?: number;
  Rate?: number;
}

function encodeSorted(data: unknown): string {
  return encodeJson(dynamicValue(data, "plain"));
}

const traits: Record<string, Traits> = {
  ...modeTraits,
  "time.Time": timeTraits(() => dockerType("time.Time")),
  "time.Duration": durationTraits,
  "strslice.StrSlice": { read: (json) => (typeof json === "string" ? [json] : (json ?? null)) },
  "digest.Digest": { methods: { String: { parameters: [], call: (data) => new Value(stringType, data) } } },
  // These are maps when they are written.
  "registry.ServiceConfig": { encode: encodeSorted },
  "command.DockerContext": { encode: encodeSorted },
  "registry.IndexInfo": { encode: encodeSorted },
  "units.Ulimit": {
    text: (data) => {
      const { Name = "", Soft = 0, Hard = 0 } = data as { Name?: string; Soft?: number; Hard?: number };
      return `${Name}=${Soft}:${Hard}`;
    },
  },
  "blkiodev.WeightDevice": { text: (data) => `${(data as Device).Path ?? ""}:${(data as Device).Weight ?? 0}` },
  "blkiodev.ThrottleDevice": { text: (data) => `${(data as Device).Path ?? ""}:${(data as Device).Rate ?? 0}` },
};

const table = new TypeTable(specs, traits);

/** @param name as Go writes it: `container.InspectResponse`. */
export function dockerType(name: string): GoType {
  return table.type(name);
}

/** JSON as a value of one of docker's types, or of a pointer to one (`*events.Message`). */
export function dockerValue(name: string, json: unknown): Value {
  if (name.startsWith("*")) return new Value(pointerTo(dockerType(name.slice(1))), json ?? null);
  const type = dockerType(name);
  return new Value(type, read(type, json));
}
