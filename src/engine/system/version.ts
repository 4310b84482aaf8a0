/** GET /version: what clients read from the components, and nothing that is not so. */
import { release } from "node:os";
import type { VersionComponent, VersionResponse } from "../../api/schema/system.ts";
import { apiVersion, buildTime, commit, minApiVersion, version } from "../../core/version.ts";

/** Go's name of the architecture: what the Engine API speaks. */
export function goArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

/**
 * docker's client prints every component, and reads Engine's details for its own `Version` block. The other names are
 * of the programs whose part this same executable plays: clients look them up.
 */
export function versionResponse(isExperimental: boolean): VersionResponse {
  const details = {
    ApiVersion: apiVersion,
    Arch: goArchitecture(),
    BuildTime: buildTime,
    Experimental: String(isExperimental),
    GitCommit: commit,
    GoVersion: `bun${Bun.version}`,
    KernelVersion: release(),
    MinAPIVersion: minApiVersion,
    Os: "linux",
  };
  const part = (Name: string): VersionComponent => ({ Name, Version: version, Details: { GitCommit: commit } });
  return {
    Platform: { Name: "tsd" },
    Components: [
      { Name: "Engine", Version: version, Details: details },
      part("containerd"),
      part("runc"),
      part("docker-init"),
    ],
    Version: version,
    ApiVersion: apiVersion,
    MinAPIVersion: minApiVersion,
    GitCommit: commit,
    GoVersion: details.GoVersion,
    Os: "linux",
    Arch: details.Arch,
    KernelVersion: details.KernelVersion,
    BuildTime: buildTime,
    ...(isExperimental && { Experimental: true }),
  };
}
