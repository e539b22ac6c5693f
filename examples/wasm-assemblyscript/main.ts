// Reads {"points": [[lat, lon], …]} on stdin and prints the length of the way through them, in kilometres.
// No library for JSON is needed for input of such a simple form: the numbers are taken in order.

const EARTH_KM: f64 = 6371.0088;

function readAll(): string {
  const chunk = new ArrayBuffer(4096);
  const bytes = new Array<u8>();
  for (let size = process.stdin.read(chunk); size > 0; size = process.stdin.read(chunk)) {
    const view = Uint8Array.wrap(chunk, 0, size);
    for (let i = 0; i < size; i++) bytes.push(view[i]);
  }
  return String.UTF8.decodeUnsafe(bytes.dataStart, bytes.length);
}

function isPart(code: i32): bool {
  return (code >= 48 && code <= 57) || code == 43 || code == 45 || code == 46 || code == 69 || code == 101;
}

function numbersIn(text: string): f64[] {
  const found: f64[] = [];
  let start = -1;
  for (let i = 0; i <= text.length; i++) {
    const inside = i < text.length && isPart(text.charCodeAt(i));
    if (inside && start < 0) start = i;
    if (!inside && start >= 0) {
      found.push(parseFloat(text.substring(start, i)));
      start = -1;
    }
  }
  return found;
}

function distance(lat1: f64, lon1: f64, lat2: f64, lon2: f64): f64 {
  const toRadians = Math.PI / 180;
  const dLat = (lat2 - lat1) * toRadians;
  const dLon = (lon2 - lon1) * toRadians;
  const a =
    Math.sin(dLat / 2) ** 2 + Math.cos(lat1 * toRadians) * Math.cos(lat2 * toRadians) * Math.sin(dLon / 2) ** 2;
  return 2 * EARTH_KM * Math.asin(Math.sqrt(a));
}

const input = readAll();
const at = input.indexOf('"points"');
if (at < 0) {
  process.stderr.write("The input has no points.\n");
  process.exit(2);
}
const numbers = numbersIn(input.substring(input.indexOf(":", at) + 1));
let total: f64 = 0;
for (let i = 2; i + 1 < numbers.length; i += 2) {
  const leg = distance(numbers[i - 2], numbers[i - 1], numbers[i], numbers[i + 1]);
  process.stdout.write("leg " + (i / 2).toString() + ": " + (Math.round(leg * 10) / 10).toString() + " km\n");
  total += leg;
}
process.stdout.write(`{"points":${numbers.length / 2},"km":${Math.round(total * 10) / 10}}`);
