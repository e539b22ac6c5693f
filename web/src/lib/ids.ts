/** Ids of the server and UUIDs of the agents' API: the same 128 bits. */

const DIGITS = "0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH = 26;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Return the UUID of an id such as `exn_01jd…`; what is no id comes back as it is. */
export function uuidOf(id: string): string {
  const text = id.slice(id.lastIndexOf("_") + 1).toLowerCase();
  if (text.length !== LENGTH || [...text].some((digit) => !DIGITS.includes(digit))) return id;
  const bits = [...text].reduce((sum, digit) => sum * 32n + BigInt(DIGITS.indexOf(digit)), 0n);
  const hex = bits.toString(16).padStart(32, "0").slice(-32);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Return the id of a kind that a UUID is; what is no UUID comes back as it is. */
export function idOf(prefix: string, uuid: string): string {
  if (!UUID.test(uuid)) return uuid;
  let bits = BigInt(`0x${uuid.replaceAll("-", "")}`);
  let text = "";
  for (let digit = 0; digit < LENGTH; digit += 1) {
    text = (DIGITS[Number(bits % 32n)] as string) + text;
    bits /= 32n;
  }
  return `${prefix}_${text}`;
}
