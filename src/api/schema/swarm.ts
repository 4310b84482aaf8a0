/** Docker's words to whoever asks something of a swarm where there is none. */
export const notManager: string =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm ' +
  "and try again.";
