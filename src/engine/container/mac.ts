/** The forms that Go's net.ParseMAC reads: `02:42:ac:11:00:02`, `02-42-ac-11-00-02`, `0242.ac11.0002`. */
const forms = [
  /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i,
  /^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/i,
  /^[0-9a-f]{4}(\.[0-9a-f]{4}){2}$/i,
];

/**
 * A MAC address (EUI-48) in the first of these forms, in lower case. @returns undefined for what is none, and for what
 * no interface can have: zero, and a group's address (IEEE 802: the first octet's lowest bit).
 */
export function formatMac(text: string): string | undefined {
  if (!forms.some((form) => form.test(text))) return undefined;
  const digits = text.replace(/[:.-]/g, "").toLowerCase();
  const isGroup = (Number.parseInt(digits.slice(0, 2), 16) & 1) === 1;
  if (isGroup || /^0+$/.test(digits)) return undefined;
  return digits.match(/../g)!.join(":");
}
