/** References are the same for whoever names an image, the command line too: src/oci has them. */
export * from "../oci/reference.ts";
