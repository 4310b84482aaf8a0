/** Where a container on a user-defined network asks for names: Docker's address, which programs look for. */
export const resolverAddress = "127.0.0.11";
