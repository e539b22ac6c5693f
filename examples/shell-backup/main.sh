#!/usr/bin/env bash
# Fetches an export, compresses and encrypts it, and stores it under the day's name.
set -euo pipefail

name="$(date -u +%F).gz.enc"
curl --fail --silent --show-error --max-time 300 "$EXPORT_URL" |
  gzip -9 |
  openssl enc -aes-256-cbc -pbkdf2 -salt -pass env:BACKUP_PASSPHRASE -out "$name"
sum=$(sha256sum "$name" | cut -d ' ' -f 1)
bytes=$(wc -c <"$name")
echo "$name has $bytes bytes"

# The storage keeps an object once per name: a retry of the same night replaces it.
curl --fail --silent --show-error --max-time 300 --upload-file "$name" \
  --oauth2-bearer "$STORAGE_TOKEN" --header "x-content-sha256: $sum" "$STORAGE_URL/$name"
echo "stored as $STORAGE_URL/$name"

printf '{"name": "%s", "bytes": %d, "sha256": "%s"}' "$name" "$bytes" "$sum" >"$AVA_OUTPUT"
