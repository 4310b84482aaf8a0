import { csvFields } from "../csv.ts";
import { type Flag, mapFlag } from "../flags.ts";

/** `--docker host=tcp://h:2376,ca=ca.pem`, pflag's stringToString. */
export function endpointFlag(): Flag<Record<string, string>> {
  return {
    ...mapFlag("set the docker endpoint", { valueName: "stringToString", shownDefault: "[]" }),
    read: (text, previous) => {
      const pairs = csvFields(text).map((field): [string, string] => {
        const equals = field.indexOf("=");
        if (equals < 0) throw new Error(`${field} must be formatted as key=value`);
        return [field.slice(0, equals), field.slice(equals + 1)];
      });
      return { ...previous, ...Object.fromEntries(pairs) };
    },
  };
}

/** What the settings mean, for the help of `create` and `update`. */
export function endpointHelp(verb: string): string {
  return `Docker endpoint config:

NAME                DESCRIPTION
from                Copy named context's Docker endpoint configuration
host                Docker endpoint on which to connect
ca                  Trust certs signed only by this CA
cert                Path to TLS certificate file
key                 Path to TLS key file
skip-tls-verify     Skip TLS certificate validation

Example:

$ tsd context ${verb} my-context --description "some description" --docker "host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file"`;
}
