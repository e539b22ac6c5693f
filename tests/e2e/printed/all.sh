# What a reader has done before any page: defined `rw`, as docs/api.md does, and fails on refusals.
curl() { command curl --silent --show-error --fail-with-body "$@"; }
rw() { curl -X "$1" "$RUNWRIGHT_URL/v1/ava$2" -H "Authorization: Bearer $RUNWRIGHT_KEY" -H "Content-Type: application/json" "${@:3}"; }
worker() { rw POST /workers -d "{\"name\": \"$1\", \"runtime\": \"python\", \"source_code\": \"def handler(input, env):\\n    return input\"}"; }
