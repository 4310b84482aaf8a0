/**
 * Interfaces that stand on another one or on nothing: macvlan, ipvlan, VLANs, dummies. include/uapi/linux/if_link.h;
 * Documentation/networking/ipvlan.rst; ip-link(8).
 */
import {
  IFLA_ADDRESS,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINK,
  IFLA_LINKINFO,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  macBytes,
  newLink,
} from "./link.ts";
import type { Message } from "./message.ts";

const IFLA_MACVLAN_MODE = 1;
const IFLA_IPVLAN_MODE = 1;
const IFLA_IPVLAN_FLAGS = 2;
const IFLA_VLAN_ID = 1;

const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export type MacvlanMode = keyof typeof macvlanModes;

const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const;
export type IpvlanMode = keyof typeof ipvlanModes;

const ipvlanFlags = { bridge: 0, private: 1, vepa: 2 } as const;
export type IpvlanFlag = keyof typeof ipvlanFlags;

/** An interface in another namespace, down, on a parent in this one. */
export interface StackedLink {
  /** There. */
  name: string;
  /** The parent's index here. */
  parent: number;
  namespaceFd: number;
  /** Bytes; absent: the parent's. */
  mtu?: number;
}

/**
 * @throws NetlinkError EBUSY where something else stands on the parent (a bridge, ipvlan), EINVAL where one in the mode
 *   passthru would be together with another.
 */
export function createMacvlan(link: StackedLink & { mode: MacvlanMode; address?: string }): Message {
  const message = stacked(link);
  if (link.address !== undefined) message.bytes(IFLA_ADDRESS, macBytes(link.address));
  return message.nest(IFLA_LINKINFO, (info) =>
    info
      .string(IFLA_INFO_KIND, "macvlan")
      .nest(IFLA_INFO_DATA, (data) => data.u32(IFLA_MACVLAN_MODE, macvlanModes[link.mode])),
  );
}

/**
 * All that stand on one parent have the mode and the flag of the one that came last.
 * @throws NetlinkError EBUSY where something else stands on the parent, EOPNOTSUPP where the kernel has no ipvlan.
 */
export function createIpvlan(link: StackedLink & { mode: IpvlanMode; flag: IpvlanFlag }): Message {
  return stacked(link).nest(IFLA_LINKINFO, (info) =>
    info
      .string(IFLA_INFO_KIND, "ipvlan")
      .nest(IFLA_INFO_DATA, (data) =>
        data.u16(IFLA_IPVLAN_MODE, ipvlanModes[link.mode]).u16(IFLA_IPVLAN_FLAGS, ipvlanFlags[link.flag]),
      ),
  );
}

function stacked({ name, parent, namespaceFd, mtu }: StackedLink): Message {
  const message = newLink(name).string(IFLA_IFNAME, name).u32(IFLA_LINK, parent).u32(IFLA_NET_NS_FD, namespaceFd);
  return mtu === undefined ? message : message.u32(IFLA_MTU, mtu);
}

/** What comes over the parent with that tag (IEEE 802.1Q), 1 to 4094. @throws NetlinkError EEXIST, EOPNOTSUPP */
export function createVlan(vlan: { name: string; parent: number; id: number }): Message {
  return newLink(vlan.name)
    .string(IFLA_IFNAME, vlan.name)
    .u32(IFLA_LINK, vlan.parent)
    .nest(IFLA_LINKINFO, (info) =>
      info.string(IFLA_INFO_KIND, "vlan").nest(IFLA_INFO_DATA, (data) => data.u16(IFLA_VLAN_ID, vlan.id)),
    );
}

/** An interface that leads nowhere. @throws NetlinkError EEXIST, EOPNOTSUPP */
export function createDummy(name: string): Message {
  return newLink(name)
    .string(IFLA_IFNAME, name)
    .nest(IFLA_LINKINFO, (info) => info.string(IFLA_INFO_KIND, "dummy"));
}
