/** A managed plugin in Docker's list of them, of which tsd has none. */
export interface PluginSummary {
  Id: string;
  Name: string;
  Enabled: boolean;
  PluginReference?: string;
  Config: { Description: string };
}
