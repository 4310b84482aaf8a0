import { SyscallError } from "../errno.ts";
import { Attributes, NLMSG_ERROR, type Reply, type Subject } from "./message.ts";

/** Attributes of a refusal, enum nlmsgerr_attrs. */
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_MISS_TYPE = 5;

/** Flags of a message of type NLMSG_ERROR. */
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

const headerLength = 16;

/**
 * A request that the kernel refused: `RTM_NEWLINK veth1a2b3c4: EEXIST (file exists)`, with what the kernel says of
 * it in its own words where it says anything (the "extended acknowledgement", netlink(7)).
 */
export class NetlinkError extends SyscallError {
  readonly explanation: string | undefined;

  constructor(subject: Subject, number: number, explanation?: string) {
    super(subject.call, number, subject.object);
    this.explanation = explanation;
    if (explanation !== undefined) this.message += `: ${explanation}`;
  }
}

/** What a NLMSG_ERROR or NLMSG_DONE says: 0 for success, else a positive errno with the kernel's words. */
export function decodeAcknowledgement(reply: Reply): { number: number; explanation?: string } {
  const view = new DataView(reply.body.buffer, reply.body.byteOffset, reply.body.byteLength);
  if (reply.body.length < 4) return { number: 0 };
  const number = -view.getInt32(0, true);
  if ((reply.flags & NLM_F_ACK_TLVS) === 0) return { number };
  const explanation = explain(new Attributes(reply.body, attributesStart(reply, view, number)));
  return explanation === undefined ? { number } : { number, explanation };
}

/** A refusal repeats the request, whole unless capped (struct nlmsgerr); the attributes follow. */
function attributesStart(reply: Reply, view: DataView, number: number): number {
  if (reply.type !== NLMSG_ERROR) return 4;
  const capped = number === 0 || (reply.flags & NLM_F_CAPPED) !== 0;
  return 4 + (capped ? headerLength : (view.getUint32(4, true) + 3) & ~3);
}

function explain(attributes: Attributes): string | undefined {
  const parts: string[] = [];
  const text = attributes.string(NLMSGERR_ATTR_MSG);
  if (text !== undefined) parts.push(text);
  const missing = attributes.u32(NLMSGERR_ATTR_MISS_TYPE);
  if (missing !== undefined) parts.push(`attribute ${missing} is missing`);
  return parts.length === 0 ? undefined : parts.join("; ");
}
