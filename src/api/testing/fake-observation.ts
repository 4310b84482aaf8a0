import type { ObservationBackend } from "../backend/observation.ts";
import type { ContainerStats, CpuStats } from "../schema/stats.ts";

function cpu(usage: number): CpuStats {
  return {
    cpu_usage: { total_usage: usage, percpu_usage: [usage], usage_in_kernelmode: 0, usage_in_usermode: usage },
    system_cpu_usage: usage * 4,
    online_cpus: 2,
    throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
  };
}

/** A sample as that of a container that uses half of one of two CPUs and some of everything. */
export function fakeStats(id: string, name: string): ContainerStats {
  return {
    id,
    name: `/${name}`,
    os_type: "linux",
    read: "2026-01-02T03:04:05.000000006Z",
    cpu_stats: cpu(3_000_000_000),
    memory_stats: {
      usage: 6 * 2 ** 20,
      stats: { total_inactive_file: 2 ** 20, hierarchical_memory_limit: 9_223_372_036_854_771_712n },
      limit: 2 ** 30,
    },
    networks: {
      eth0: {
        rx_bytes: 1500,
        rx_packets: 3,
        rx_errors: 0,
        rx_dropped: 0,
        tx_bytes: 2_000_000,
        tx_packets: 4,
        tx_errors: 0,
        tx_dropped: 0,
      },
    },
    pids_stats: { current: 2, limit: 18_446_744_073_709_551_615n },
    blkio_stats: {
      io_service_bytes_recursive: [
        { major: 8, minor: 0, op: "Read", value: 4096 },
        { major: 8, minor: 0, op: "Write", value: 0 },
      ],
      io_serviced_recursive: [],
      io_queue_recursive: null,
      io_service_time_recursive: null,
      io_wait_time_recursive: null,
      io_merged_recursive: null,
      io_time_recursive: null,
      sectors_recursive: null,
    },
    num_procs: 0,
    storage_stats: {},
    preread: "2026-01-02T03:04:04.000000006Z",
    precpu_stats: cpu(2_000_000_000),
  };
}

export class FakeObservation implements ObservationBackend {
  readonly #called: (call: string) => void;
  readonly #find: (ref: string) => { id: string; name: string };

  constructor(called: (call: string) => void, find: (ref: string) => { id: string; name: string }) {
    this.#called = called;
    this.#find = find;
  }

  top: ObservationBackend["top"] = async (ref, words) => {
    this.#called(`top ${this.#find(ref).name} ${JSON.stringify(words)}`);
    return { Processes: [["root", "17", "sleep 1000"]], Titles: ["UID", "PID", "CMD"] };
  };

  stats: ObservationBackend["stats"] = async (ref, { stream, oneShot }) => {
    const { id, name } = this.#find(ref);
    this.#called(`stats ${name} ${stream} ${oneShot}`);
    return (async function* () {
      for (let sample = 0; sample < (stream ? 2 : 1); sample++) yield fakeStats(id, name);
    })();
  };
}
