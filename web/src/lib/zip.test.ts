import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { zipOf } from "./zip.ts";

const READ = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    print(json.dumps([[i.filename, archive.read(i).decode(), i.external_attr >> 16, i.compress_type] for i in archive.infolist()]))
`;

test("another program reads the same files from a zip", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const long = "x = 1\n".repeat(500);
  const zip = await zipOf([
    { path: "main.py", content: bytes(long) },
    { path: "data/ä.txt", content: bytes("") },
    { path: "run", content: bytes("#!/bin/sh\n") },
  ]);
  const folder = mkdtempSync(join(tmpdir(), "zip-"));
  writeFileSync(join(folder, "a.zip"), new Uint8Array(await zip.arrayBuffer()));
  const found: unknown = JSON.parse(execFileSync("python3", ["-c", READ, join(folder, "a.zip")], { encoding: "utf8" }));
  rmSync(folder, { recursive: true });
  assert.deepEqual(found, [
    ["main.py", long, 0o100644, 8],
    ["data/ä.txt", "", 0o100644, 0],
    ["run", "#!/bin/sh\n", 0o100755, 0],
  ]);
});
