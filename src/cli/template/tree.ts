/** The syntax tree of a template, and its nodes as Go's errors quote them. */

interface Placed {
  /** Where it stands in the source, as an index. */
  at: number;
}

export interface TextNode extends Placed {
  kind: "text";
  text: string;
}

export interface ActionNode extends Placed {
  kind: "action";
  pipeline: PipelineNode;
}

export interface BranchNode extends Placed {
  kind: "if" | "with" | "range";
  pipeline: PipelineNode;
  body: Node[];
  otherwise: Node[] | undefined;
}

export interface TemplateNode extends Placed {
  kind: "template";
  name: string;
  pipeline: PipelineNode | undefined;
}

export interface JumpNode extends Placed {
  kind: "break" | "continue";
}

/** `{{end}}` and `{{else}}`, which are in no tree. */
export interface EndNode extends Placed {
  kind: "end" | "else";
}

export type Node = TextNode | ActionNode | BranchNode | TemplateNode | JumpNode;

export interface PipelineNode extends Placed {
  kind: "pipeline";
  /** Names on the left of `:=` or `=`; two are possible in range only. */
  variables: string[];
  isAssignment: boolean;
  /** Each command's value becomes the last argument of the next. */
  commands: CommandNode[];
}

export interface CommandNode extends Placed {
  kind: "command";
  operands: Operand[];
}

export type Constant =
  | { type: "int"; value: bigint }
  | { type: "float"; value: number }
  | { type: "complex"; real: number; imaginary: number };

export type Operand = Placed &
  (
    | { kind: "dot" }
    | { kind: "nil" }
    | { kind: "bool"; value: boolean }
    | { kind: "number"; text: string; value: Constant }
    | { kind: "string"; quoted: string; value: string }
    | { kind: "identifier"; name: string }
    | { kind: "field"; names: string[] }
    | { kind: "variable"; name: string; fields: string[] }
    | { kind: "chain"; of: Operand; fields: string[] }
    | PipelineNode
  );

/** The source of a node, in Go's own spacing. */
export function nodeText(node: Node | EndNode | CommandNode | Operand): string {
  switch (node.kind) {
    case "text":
      return node.text;
    case "action":
      return `{{${nodeText(node.pipeline)}}}`;
    case "if":
    case "with":
    case "range": {
      const otherwise = node.otherwise === undefined ? "" : `{{else}}${listText(node.otherwise)}`;
      return `{{${node.kind} ${nodeText(node.pipeline)}}}${listText(node.body)}${otherwise}{{end}}`;
    }
    case "template":
      return `{{template ${JSON.stringify(node.name)}${node.pipeline ? ` ${nodeText(node.pipeline)}` : ""}}}`;
    case "break":
    case "continue":
    case "end":
    case "else":
      return `{{${node.kind}}}`;
    case "pipeline": {
      const declared =
        node.variables.length === 0 ? "" : `${node.variables.join(", ")} ${node.isAssignment ? "=" : ":="} `;
      return declared + node.commands.map(nodeText).join(" | ");
    }
    case "command":
      return node.operands.map(operandText).join(" ");
    default:
      return simpleText(node);
  }
}

function simpleText(node: Exclude<Operand, PipelineNode>): string {
  switch (node.kind) {
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "bool":
      return String(node.value);
    case "number":
      return node.text;
    case "string":
      return node.quoted;
    case "identifier":
      return node.name;
    case "field":
      return node.names.map((name) => `.${name}`).join("");
    case "variable":
      return [node.name, ...node.fields].join(".");
    case "chain":
      return operandText(node.of) + node.fields.map((name) => `.${name}`).join("");
  }
}

function operandText(operand: Operand): string {
  return operand.kind === "pipeline" ? `(${nodeText(operand)})` : nodeText(operand);
}

function listText(nodes: Node[]): string {
  return nodes.map(nodeText).join("");
}
