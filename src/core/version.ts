// Stamped in by build/build.ts; run from source they are not defined.
declare const TSD_VERSION: string | undefined;
declare const TSD_COMMIT: string | undefined;
declare const TSD_BUILD_TIME: string | undefined;

export const version = typeof TSD_VERSION === "string" ? TSD_VERSION : "0.0.0-source";
export const commit = typeof TSD_COMMIT === "string" ? TSD_COMMIT : "unknown";
/** ISO 8601, of the commit and not of the build, so that a build can be repeated bit for bit. */
export const buildTime = typeof TSD_BUILD_TIME === "string" ? TSD_BUILD_TIME : "1970-01-01T00:00:00Z";
/** The newest Docker Engine API that tsd serves, and the oldest. */
export const apiVersion = "1.55";
export const minApiVersion = "1.24";
