/** Where a container's output is kept or sent, as its shim is told it. */

/** Of a log's files. */
export interface LogFiles {
  path: string;
  /** A file that would grow beyond this many bytes is rotated; never when absent. */
  maxSizeBytes?: number;
  /** How many files there are at most, the current one included; 1 when absent. */
  maxFiles?: number;
  /** All but the current one are compressed, in the background. */
  compress?: boolean;
}

/** The container does not wait for its log: what finds no room in a buffer of that many bytes is lost, and counted. */
interface Delivery {
  bufferBytes?: number;
}

interface JsonFileTarget extends LogFiles, Delivery {
  driver: "json-file";
  /** Labels and variables that go with every line. */
  attributes?: Record<string, string>;
}

interface LocalTarget extends LogFiles, Delivery {
  driver: "local";
  attributes?: Record<string, string>;
}

/** What cannot be read back is kept in files of the local driver, too. */
interface RemoteTarget extends Delivery {
  cache?: LogFiles & { attributes?: Record<string, string> };
}

export interface JournaldTarget extends RemoteTarget {
  driver: "journald";
  /** journald's socket for messages of its native protocol. */
  socket: string;
  /** Of every entry. */
  fields: Record<string, string>;
}

export interface SyslogTarget extends RemoteTarget {
  driver: "syslog";
  /** Absent: the host's own, at the first of the usual places where one listens. */
  address?:
    | { kind: "udp" | "tcp" | "tcp+tls"; host: string; port: number }
    | { kind: "unix" | "unixgram"; path: string };
  /** The number of RFC 5424, section 6.2.1. */
  facility: number;
  format: SyslogFormat;
  hostname: string;
  tag: string;
  /** Paths of PEM files. */
  tls?: { ca?: string; certificate?: string; key?: string; skipVerify?: boolean };
}

/** `unix` is what syslog(3) sends; the others are named by their RFCs, the last with microseconds. */
export type SyslogFormat = "unix" | "rfc3164" | "rfc5424" | "rfc5424micro";

export type LogTarget = { driver: "none" } | JsonFileTarget | LocalTarget | JournaldTarget | SyslogTarget;
