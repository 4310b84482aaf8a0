/** The runtime specification that tsd follows; the state JSON carries it. */
export const ociVersion = "1.3.0";
