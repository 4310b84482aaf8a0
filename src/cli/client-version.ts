import { apiVersion, buildTime, commit, version } from "../core/version.ts";
import { currentContext, type Surroundings } from "./context/current.ts";
import { ansicTime } from "./time.ts";

/** What `version` and `info` say of the client. */
export function clientVersion(surroundings: Surroundings) {
  return {
    Version: version,
    ApiVersion: apiVersion,
    DefaultAPIVersion: apiVersion,
    GitCommit: commit,
    GoVersion: "",
    BunVersion: Bun.version,
    Os: "linux",
    Arch: process.arch === "x64" ? "amd64" : process.arch,
    BuildTime: ansicTime(buildTime),
    Context: currentContext(surroundings),
  };
}
