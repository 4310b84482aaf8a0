/** Messages of syslog as docker sends them (moby's driver over RackSec/srslog), each with a newline at its end. */
import { type WallTime, wallTime } from "../core/clock.ts";
import type { LogLine } from "./line-splitter.ts";
import type { SyslogTarget } from "./log-target.ts";

/** RFC 5424, section 6.2.1: error and informational, as docker tells the streams apart. */
const severity = { stdout: 6, stderr: 3 };
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

type EncodedTarget = Pick<SyslogTarget, "facility" | "format" | "hostname" | "tag" | "address">;

export class SyslogEncoder {
  readonly #target: EncodedTarget;
  readonly #pid: number;
  readonly #clock: () => WallTime;

  /** @param pid docker's own, in docker: here that of the container's shim. */
  constructor(target: EncodedTarget, pid: number, clock: () => WallTime = wallTime) {
    this.#target = target;
    this.#pid = pid;
    this.#clock = clock;
  }

  encode({ stream, text }: LogLine): Uint8Array {
    const message = Buffer.concat([Buffer.from(this.#head(stream)), text, Buffer.from("\n")]);
    const { format, address } = this.#target;
    // RFC 5425, section 4.3: over TLS each message comes after its length.
    const isCounted = format.startsWith("rfc5424") && address?.kind === "tcp+tls";
    return isCounted ? Buffer.concat([Buffer.from(`${message.length} `), message]) : message;
  }

  #head(stream: LogLine["stream"]): string {
    const { facility, format, hostname, tag } = this.#target;
    const priority = `<${facility * 8 + severity[stream]}>`;
    const { milliseconds, nanoseconds } = this.#clock();
    const time = new Date(milliseconds);
    switch (format) {
      case "unix":
        return `${priority}${stamp(time)} ${tag}[${this.#pid}]: `;
      case "rfc3164":
        return `${priority}${stamp(time)} ${hostname} ${tag}[${this.#pid}]: `;
      case "rfc5424":
      case "rfc5424micro": {
        const micro =
          format === "rfc5424"
            ? ""
            : `.${String(Math.floor((milliseconds % 1000) * 1000 + nanoseconds / 1000)).padStart(6, "0")}`;
        return `${priority}1 ${local(time)}${micro}${offset(time)} ${hostname} ${tag} ${this.#pid} ${tag} - `;
      }
    }
  }
}

const two = (value: number) => String(value).padStart(2, "0");
const clockOf = (time: Date) => `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;

/** `Jan  2 15:04:05`, in the host's time zone as all of these. */
function stamp(time: Date): string {
  return `${months[time.getMonth()]} ${String(time.getDate()).padStart(2)} ${clockOf(time)}`;
}

function local(time: Date): string {
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${clockOf(time)}`;
}

function offset(time: Date): string {
  const minutes = -time.getTimezoneOffset();
  if (minutes === 0) return "Z";
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(absolute / 60))}:${two(absolute % 60)}`;
}
