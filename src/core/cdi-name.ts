/**
 * Names of CDI devices: `vendor.com/class=name`, whose kind is `vendor.com/class` (Container Device Interface
 * specification, "Kind" and "Devices").
 */

export interface CdiName {
  vendor: string;
  class: string;
  name: string;
}

/** Of a vendor, and of a class. */
const namePart = /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const namePattern = /^[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;

/** @returns undefined for what is no kind: `vendor.com/class`. */
export function parseCdiKind(text: string): Omit<CdiName, "name"> | undefined {
  const [vendor = "", name, ...more] = text.split("/");
  if (name === undefined || more.length > 0 || !namePart.test(vendor) || !namePart.test(name)) return undefined;
  return { vendor, class: name };
}

export function isCdiDeviceName(name: string): boolean {
  return namePattern.test(name);
}

/** @returns undefined for what is no qualified name; a path of a device is none. */
export function parseCdiName(text: string): CdiName | undefined {
  const equals = text.indexOf("=");
  const kind = equals < 0 ? undefined : parseCdiKind(text.slice(0, equals));
  const name = text.slice(equals + 1);
  return kind === undefined || !isCdiDeviceName(name) ? undefined : { ...kind, name };
}
