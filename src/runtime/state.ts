import { errorMessage, isEngineError } from "../core/errors.ts";
import type { OciState } from "../oci/runtime.ts";
import type { ContainerRecord } from "./record.ts";
import { type ContainerStatus, containerStatus, ociState } from "./status.ts";
import { containerIds, readRecord } from "./store.ts";

/** A container as `state` and `list` show it. */
export interface ContainerView {
  record: ContainerRecord;
  status: ContainerStatus;
}

/** @throws EngineError not_found. */
export function inspectContainer(root: string, id: string): ContainerView {
  const record = readRecord(root, id);
  return { record, status: containerStatus(root, record) };
}

/** The specification's state of one container. @throws EngineError not_found. */
export function containerState(root: string, id: string): OciState {
  const { record, status } = inspectContainer(root, id);
  return ociState(record, status);
}

/**
 * All containers under the root, oldest first. Those that are made or deleted just now are passed over; `warn` hears of
 * those whose state cannot be read.
 */
export function listContainers(root: string, warn: (message: string) => void = () => undefined): ContainerView[] {
  const views: ContainerView[] = [];
  for (const id of containerIds(root)) {
    try {
      views.push(inspectContainer(root, id));
    } catch (error) {
      if (isEngineError(error, "not_found")) continue;
      warn(`container ${id}: ${errorMessage(error)}`);
    }
  }
  return views.sort((a, b) => (a.record.createdAt < b.record.createdAt ? -1 : 1));
}
