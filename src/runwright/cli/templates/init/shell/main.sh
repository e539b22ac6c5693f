#!/usr/bin/env bash
# A worker: the input is JSON on stdin; JSON written to $AVA_OUTPUT is the job's output, the rest its log.
set -euo pipefail

input=$(cat)
name=$(printf %s "$input" | sed -n 's/.*"name" *: *"\([^"\\]*\)".*/\1/p')
echo "greeting ${name:-world}"
printf '{"text": "%s, %s!"}' "$GREETING" "${name:-world}" > "$AVA_OUTPUT"
