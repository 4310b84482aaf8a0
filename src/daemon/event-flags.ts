/** The daemon's flags of the events that are kept. */
import { parseGoDuration } from "../core/go-duration.ts";
import { defaultEventRetention, type EventRetention } from "../engine/event/history.ts";

/** @param value the text of a flag, undefined where it was not given. @throws Error with the reason for a wrong one. */
export function readEventOptions(value: (name: string) => string | undefined): EventRetention {
  const count = value("events-max-count");
  const age = value("events-max-age");
  return {
    ...defaultEventRetention,
    countMax: count === undefined ? defaultEventRetention.countMax : countOf(count),
    ageMaxMs: age === undefined ? defaultEventRetention.ageMaxMs : ageOf(age),
  };
}

/** Each is a row; nobody has a use for more. */
const countLimit = 10_000_000;

function countOf(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(count <= countLimit)) throw new Error(invalid("events-max-count", text, `it is a number up to ${countLimit}`));
  return count;
}

function ageOf(text: string): number {
  let ageMs: number | undefined;
  try {
    ageMs = parseGoDuration(text);
  } catch (error) {
    throw new Error(invalid("events-max-age", text, (error as Error).message));
  }
  if (ageMs === undefined || !(ageMs > 0)) throw new Error(invalid("events-max-age", text, "it is more than 0"));
  return ageMs;
}

function invalid(name: string, text: string, reason: string): string {
  return `invalid argument "${text}" for "--${name}" flag: ${reason}`;
}
