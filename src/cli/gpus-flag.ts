/** `--gpus all`, `--gpus 2`, `--gpus '"device=0,1",capabilities=utility'` as docker reads it. */
import type { DeviceRequest } from "../api/schema/container-config.ts";
import { csvFields } from "./csv.ts";
import { type Flag, keyValues, valueListFlag } from "./flags.ts";

export function gpusFlag(): Flag<DeviceRequest[]> {
  return valueListFlag("GPU devices to add to the container ('all' to pass all GPUs)", gpuRequest, {
    valueName: "gpu-request",
  });
}

/** @throws Error in docker's words. */
export function gpuRequest(text: string): DeviceRequest {
  const request: DeviceRequest = {};
  const seen = new Set<string>();
  for (const field of csvFields(text)) {
    const equals = field.indexOf("=");
    const key = equals < 0 ? field : field.slice(0, equals);
    if (seen.has(key)) throw new Error(`gpu request key '${key}' can be specified only once`);
    seen.add(key);
    if (equals < 0) {
      seen.add("count");
      request.Count = parseCount(field);
    } else {
      setField(request, field, field.slice(equals + 1));
    }
  }
  if (!seen.has("count") && request.DeviceIDs === undefined) request.Count = 1;
  return { Capabilities: [["gpu"]], Options: {}, ...request };
}

function setField(request: DeviceRequest, field: string, value: string): void {
  const key = field.slice(0, field.indexOf("="));
  if (key === "driver") request.Driver = value;
  else if (key === "count") request.Count = parseCount(value);
  else if (key === "device") request.DeviceIDs = value.split(",");
  else if (key === "capabilities") request.Capabilities = [[...value.split(","), "gpu"]];
  else if (key === "options") request.Options = keyValues(csvFields(value), "gpus");
  else throw new Error(`unexpected key '${key}' in '${field}'`);
}

function parseCount(text: string): number {
  if (text === "all") return -1;
  if (/^[+-]?\d+$/.test(text)) return Number(text);
  throw new Error(`invalid count (${text}): value must be either "all" or an integer: invalid syntax`);
}
