// Reads {"limit": n} on stdin and prints what there is to say about the primes below as JSON.
function readAll(): string {
  const chunk = new ArrayBuffer(4096);
  const bytes = new Array<u8>();
  for (let size = process.stdin.read(chunk); size > 0; size = process.stdin.read(chunk)) {
    const view = Uint8Array.wrap(chunk, 0, size);
    for (let i = 0; i < size; i++) bytes.push(view[i]);
  }
  return String.UTF8.decodeUnsafe(bytes.dataStart, bytes.length);
}

function limitOf(input: string): i32 {
  const at = input.indexOf('"limit"');
  if (at < 0) throw new Error("the input has no limit");
  return i32(parseInt(input.substring(input.indexOf(":", at) + 1)));
}

const limit = limitOf(readAll());
const composite = new StaticArray<bool>(limit + 1);
let count = 0, largest = 0, sum: i64 = 0;
for (let n = 2; n <= limit; n++) {
  if (composite[n]) continue;
  count++;
  largest = n;
  sum += n;
  for (let multiple = <i64>n * n; multiple <= limit; multiple += n) composite[<i32>multiple] = true;
}
process.stderr.write("sieved up to " + limit.toString() + "\n");
process.stdout.write(`{"count":${count},"largest":${largest},"sum":${sum}}`);
