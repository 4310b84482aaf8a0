/** Why a port could not be published, in words that name who has it. */
import { readFileSync } from "node:fs";
import { EngineError, type ErrorCode } from "../../core/errors.ts";
import { shortId } from "../../core/id.ts";
import { type Address, formatAddress, parseAddress } from "../../core/ip-address.ts";
import type { PortOwner } from "./allocation.ts";
import type { Binding } from "./binding.ts";
import { findPortUser } from "./port-user.ts";
import { shownEndpoint } from "./proxy/endpoint.ts";
import type { Refusal } from "./proxy/protocol.ts";

/** Another container has it, or this one asks for it twice. */
export function portOfContainer(binding: Binding, port: number, owner: PortOwner): EngineError {
  const { containerName, containerId } = owner;
  const text = `Bind for ${shown(binding.addresses[0]!, port)} failed: port is already allocated`;
  return new EngineError("conflict", `${text} to container ${containerName} (${shortId(containerId)})`, {
    stage: "network",
    hint: "choose another host port, or remove that container",
  });
}

/** None of a range is free. @param last why the last one that was tried is not. */
export function noPortLeft({ request, addresses }: Binding, last: EngineError | undefined): EngineError {
  const { hostPorts } = request;
  const range = hostPorts === undefined ? "the host's ephemeral ports" : `ports ${hostPorts.first}-${hostPorts.last}`;
  const of = `${formatAddress(addresses[0]!)}/${request.transport}`;
  const reason = last === undefined ? "" : `; at last: ${last.message}`;
  return new EngineError("conflict", `Bind for ${of} failed: none of ${range} is free${reason}`, { stage: "network" });
}

/** The host's kernel refused it. */
export function refusedByHost({ socket, errno, message }: Refusal): EngineError {
  const text = `failed to bind host port ${shownEndpoint(socket)}/${socket.transport}`;
  const fail = (code: ErrorCode, reason: string, hint?: string): EngineError =>
    new EngineError(code, `${text}: ${reason}`, {
      stage: "network",
      syscall: "bind",
      errno,
      ...(hint !== undefined && { hint }),
    });
  switch (errno) {
    case "EADDRINUSE": {
      const user = findPortUser(socket.transport, parseAddress(socket.address), socket.port);
      const by = user === undefined ? "a program of this host" : `${user.name} (pid ${user.pid})`;
      return fail("conflict", `address already in use by ${by}`, "choose another host port, or stop that program");
    }
    case "EADDRNOTAVAIL":
      return fail("invalid_argument", "cannot assign requested address: this host has no such address");
    case "EACCES":
    case "EPERM":
      return fail("forbidden", "permission denied", permissionHint(socket.port));
    case "EINVAL":
      return fail("invalid_argument", "invalid address; a link-local one cannot be published on");
    default:
      return fail("unsupported", message);
  }
}

/** ip-sysctl.rst, ip_unprivileged_port_start. */
function permissionHint(port: number): string {
  const start = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  if (port >= start) return "a security module of this host (SELinux, AppArmor) keeps it from tsd proxy";
  return `tsd proxy needs CAP_NET_BIND_SERVICE for ports below ${start} (net.ipv4.ip_unprivileged_port_start)`;
}

function shown(address: Address, port: number): string {
  return shownEndpoint({ address: formatAddress(address), port });
}
