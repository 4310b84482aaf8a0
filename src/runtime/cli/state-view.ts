import type { ContainerView } from "../state.ts";
import { statusPid } from "../status.ts";

/** runc's state JSON: the specification's fields, the status "paused", and its own rootfs, created and owner. */
export interface StateView {
  ociVersion: string;
  id: string;
  pid: number;
  status: string;
  bundle: string;
  rootfs: string;
  created: string;
  annotations?: Record<string, string>;
  owner: string;
}

/** `owner` is left empty, as `runc state` leaves it; `list` fills it in. */
export function stateView({ record, status }: ContainerView, owner = ""): StateView {
  return {
    ociVersion: record.ociVersion,
    id: record.id,
    pid: statusPid(status),
    status: status.status,
    bundle: record.bundle,
    rootfs: record.rootfs,
    created: record.createdAt,
    ...(record.annotations && { annotations: record.annotations }),
    owner,
  };
}
