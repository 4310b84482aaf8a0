import { EngineError } from "../../core/errors.ts";

/**
 * A mistake in a template, or a value that it asks for and that does not fit. The message is that of Go's text/template,
 * which scripts read: `template: :1:2: executing "" at <.X>: …`.
 */
export class TemplateError extends EngineError {
  /** "parse" for what is wrong with the template itself, "execute" for what is wrong with it and this object. */
  readonly during: "parse" | "execute";
  /** Without docker's words in front of it. */
  readonly bare: string;

  constructor(bare: string, during: "parse" | "execute", prefix = "template parsing error: ") {
    super("invalid_argument", prefix + bare);
    this.bare = bare;
    this.during = during;
  }

  /** The same in the words of another command. */
  withPrefix(prefix: string): TemplateError {
    return new TemplateError(this.bare, this.during, prefix);
  }
}

/** What a function says when it cannot do what it is asked for; the template adds where. */
export class CallError extends Error {
  override readonly name = "CallError";
}
