import type { ContainerStory } from "../schema/story.ts";

export interface StoryBackend {
  /**
   * @param lines how many of its last lines.
   * @throws EngineError not_found for one that neither is there nor in the events that are kept.
   */
  why(reference: string, options: { lines: number }): Promise<ContainerStory>;
}
