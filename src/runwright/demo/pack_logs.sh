#!/usr/bin/env bash
# Writes a log of yesterday, packs it, and reports what that saves.
set -euo pipefail

name="$(date -u -d yesterday +%F).log"
for line in $(seq 1 2000); do
  echo "$line GET /orders/$((line * 7919 % 10000)) 200"
done >"$name"
gzip -9 -k "$name"
before=$(wc -c <"$name") after=$(wc -c <"$name.gz")
echo "$name: $before bytes, packed $after"
printf '{"name": "%s", "bytes": %d, "packed": %d}' "$name" "$before" "$after" >"$AVA_OUTPUT"
