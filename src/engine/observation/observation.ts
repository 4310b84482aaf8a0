/** The service that the API calls for what containers do at this moment: their processes, and what they use. */
import type { ContainerStats, TopResponse } from "../../api/schema/stats.ts";
import { timeNow } from "../../core/clock.ts";
import { isEngineError } from "../../core/errors.ts";
import { psTable } from "../../runtime/ps/table.ts";
import { cgroupPath, joinedContainer } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import { containerEvent } from "../container/event.ts";
import { zeroTime } from "../container/state.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerUsage } from "../parts.ts";
import { readMemoryTotal } from "../system/host.ts";
import { readCpuTime } from "./cpu-time.ts";
import { emptySample, type Measured, noCpuStats, type Sample, sampleOf } from "./sample.ts";
import { Sampler } from "./sampler.ts";

export interface StatsOptions {
  stream: boolean;
  oneShot: boolean;
}

export class ObservationService {
  readonly #context: EngineContext;
  readonly #sampler: Sampler;
  #memoryBytes: number | undefined;

  constructor(context: EngineContext) {
    this.#context = context;
    this.#sampler = new Sampler((container) => this.#look(container));
  }

  async top(reference: string, psArguments: readonly string[]): Promise<TopResponse> {
    const { containers, kernel } = this.#context;
    const container = containers.find(reference);
    container.runningShim();
    const path = cgroupPath(this.#context, container);
    const words = psArguments.length === 0 ? ["-ef"] : psArguments;
    const { titles, processes } = await psTable(words, () => kernel.processes(path));
    containerEvent(this.#context, container, "top");
    return { Processes: processes.length === 0 ? null : processes, Titles: titles };
  }

  /** A container that does not run has samples of zeros. */
  async stats(
    reference: string,
    { stream, oneShot }: StatsOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<ContainerStats>> {
    const container = this.#context.containers.find(reference);
    if (stream) return this.#stream(container, signal);
    if (oneShot || container.state.status !== "running") return one(statsOf(container, this.#sampler.now(container)));
    return this.#second(container, signal);
  }

  async *#stream(container: Container, signal: AbortSignal): AsyncGenerator<ContainerStats> {
    const watch = this.#sampler.watch(container, signal);
    try {
      let before: Sample | undefined;
      for (let sample = await watch.next(); sample !== undefined; sample = await watch.next()) {
        yield statsOf(container, sample, before);
        before = sample;
      }
    } finally {
      watch.end();
    }
  }

  /** The second sample alone, which has the first to be compared with. */
  async *#second(container: Container, signal: AbortSignal): AsyncGenerator<ContainerStats> {
    let isFirst = true;
    for await (const stats of this.#stream(container, signal)) {
      if (!isFirst) {
        yield stats;
        return;
      }
      isFirst = false;
    }
  }

  #look(container: Container): Sample {
    const { kernel, cgroupVersion } = this.#context;
    const { state } = container;
    if (state.status !== "running") return emptySample;
    const usage: ContainerUsage | undefined = kernel.usage(cgroupPath(this.#context, container));
    if (usage === undefined) return emptySample;
    const interfaces = this.#interfaces(container, state.pid);
    this.#memoryBytes ??= readMemoryTotal();
    return sampleOf({
      read: timeNow(),
      usage,
      cpuTime: readCpuTime(),
      cgroupVersion,
      memoryBytes: this.#memoryBytes,
      ...(interfaces !== undefined && { interfaces }),
    });
  }

  /** Those of its networks, or of the container whose network it shares: not the loopback, nor the host's. */
  #interfaces(container: Container, pid: number): Measured["interfaces"] {
    const sandbox = (this.#joined(container) ?? container).sandbox;
    const own = new Set(sandbox?.endpoints.flatMap(({ interface: name }) => name ?? []));
    if (own.size === 0) return undefined;
    const all = this.#context.kernel.interfaces(pid) ?? new Map();
    return new Map([...all].filter(([name]) => own.has(name)));
  }

  #joined(container: Container): Container | undefined {
    try {
      return joinedContainer(this.#context, container);
    } catch (error) {
      // That one is gone, and with it what is known of its networks.
      if (isEngineError(error, "not_found")) return undefined;
      throw error;
    }
  }
}

function statsOf({ id, name }: Container, sample: Sample, before?: Sample): ContainerStats {
  return {
    id,
    name: `/${name}`,
    os_type: "linux",
    ...sample,
    preread: before?.read ?? zeroTime,
    precpu_stats: before?.cpu_stats ?? noCpuStats,
  };
}

async function* one<T>(item: T): AsyncGenerator<T> {
  yield item;
}
