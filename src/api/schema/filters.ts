/** The `filters` query parameter, read. Types only. */

/** Filter name to its alternatives: names are combined with and, values with or (labels with and). */
export type Filters = Record<string, string[]>;
