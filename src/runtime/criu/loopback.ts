import type { Descriptor } from "../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { setLink } from "../../../ffi/netlink/link.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../../ffi/netlink/socket.ts";

/** The loopback is the first interface of every network namespace. */
const loopbackIndex = 1;

/** Raises the loopback interface, which a new network namespace has down. */
export function raiseLoopback(namespace: Descriptor): void {
  using route = inNetworkNamespace(namespace, () => new NetlinkSocket(NETLINK_ROUTE));
  route.execute(setLink(loopbackIndex, { up: true }, "interface lo"));
}
