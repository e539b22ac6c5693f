"""The browsable page of the API: plain HTML made from the OpenAPI document, without scripts.

Nothing is fetched from elsewhere, and its one style sheet is inline with its hash in the policy.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

import msgspec

from runwright.http.ava.dialect import MEANINGS
from runwright.http.openapi import Json

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: light-dark(#0b5cad, #7db8f5); }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0; }
.page { display: grid; grid-template-columns: 15rem minmax(0, 52rem); gap: 3rem; max-width: 75rem;
  margin: 0 auto; padding: 0 1.5rem; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; padding: 2rem 0;
  font-size: .9rem; }
nav ul { list-style: none; margin: .25rem 0 1rem; padding: 0; }
nav b { font-weight: 600; }
main { padding: 1rem 0 6rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
h1 { font-size: 1.9rem; line-height: 1.2; }
h2 { margin-top: 3.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { margin: 2.5rem 0 .25rem; scroll-margin-top: 1rem; }
h4 { margin: 1.25rem 0 .25rem; font-size: .95rem; }
code, pre { font: .86em/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: 6px; overflow: auto; }
.route { margin: .25rem 0 .75rem; }
.method { display: inline-block; min-width: 4rem; font-weight: 700; color: var(--accent); }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
td, th { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
td:first-child { white-space: nowrap; width: 1%; }
td.kind { width: 16rem; }
.kind { opacity: .8; }
@media (max-width: 50rem) { .page { display: block; } nav { position: static; max-height: none; } }
"""

STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
)


def render_page(document: Json) -> str:
    """Return the whole page."""
    title = escape(document["info"]["title"])
    body = "".join(_body(document))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f'<body><div class="page"><nav>{"".join(_navigation(document))}</nav><main>{body}</main></div>'
        "</body></html>"
    )


def _navigation(document: Json) -> Iterator[str]:
    yield '<p><a href="#top"><b>Overview</b></a></p>'
    for tag in document["tags"]:
        yield f"<b>{escape(tag['name'])}</b><ul>"
        for _, _, operation in _operations(document, tag["name"]):
            yield f'<li><a href="#{operation["operationId"]}">{escape(operation["summary"])}</a></li>'
        yield "</ul>"
    yield '<p><a href="#errors"><b>Errors</b></a></p><p><a href="openapi.json">OpenAPI document</a></p>'


def _body(document: Json) -> Iterator[str]:
    info = document["info"]
    yield f'<h1 id="top">{escape(info["title"])}</h1><p>Version {escape(info["version"])}</p>'
    yield from _paragraphs(info["description"])
    yield "<h4>Headers</h4>"
    headers = [{"name": "x-internal-secret", "description": _KEY_WORDS, "schema": {"type": "string"}}]
    shared = document["components"]["parameters"].values()
    yield from _table(_parameter_rows(headers + [part for part in shared if part["name"].startswith("x-")]))
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>"
        for path, method, operation in _operations(document, tag["name"]):
            yield from _operation(document, path, method, operation)
    yield '<h2 id="errors">Errors</h2>'
    yield "<pre>" + escape(_pretty(_ERROR_EXAMPLE)) + "</pre>"
    rows = [(str(meaning.status), meaning.code, meaning.when) for meaning in MEANINGS.values()]
    yield "<table><tr><th>HTTP</th><th>code</th><th>when</th></tr>"
    for status, code, when in rows:
        yield f'<tr id="{code}"><td>{status}</td><td><code>{code}</code></td><td>{_inline(when)}</td></tr>'
    yield "</table>"


_KEY_WORDS: Final = "The API key; `Authorization: Bearer KEY` is accepted in its place."
_ERROR_EXAMPLE: Final = {
    "error": {
        "code": "validation_error",
        "message": "The request is invalid.",
        "request_id": "req_01jd9x3v7m0000000000000000",
        "docs_url": "/v1/ava/docs#validation_error",
        "fields": {"priority": ["Must be at most 10."]},
    }
}


def _operation(document: Json, path: str, method: str, operation: Json) -> Iterator[str]:
    yield f'<h3 id="{operation["operationId"]}">{escape(operation["summary"])}</h3>'
    yield f'<p class="route"><span class="method">{method.upper()}</span> <code>{escape(path)}</code></p>'
    yield from _paragraphs(operation["description"])
    parameters = [_resolve(document, part) for part in operation["parameters"]]
    own = [part for part in parameters if not part["name"].startswith("x-")]
    if own:
        yield "<h4>Parameters</h4>"
        yield from _table(_parameter_rows(own, document))
    if "requestBody" in operation:
        yield from _body_of(document, path, method, operation["requestBody"]["content"])
    yield "<h4>Answers</h4><table>"
    for status, response in operation["responses"].items():
        described = _resolve(document, response)
        yield f"<tr><td>{status}</td><td>{_inline(described['description'])}</td></tr>"
    yield "</table>"
    content = next(iter(operation["responses"].values())).get("content", {})
    if "application/json" not in content:
        return
    success = content["application/json"]["schema"]
    fields = _resolve(document, success)["properties"]
    yield "<h4>Fields of <code>data</code></h4>" if "data" in fields else "<h4>Fields</h4>"
    data = fields.get("data", success)
    yield from _table(_field_rows(document, data.get("items", data)))


def _body_of(document: Json, path: str, method: str, contents: Json) -> Iterator[str]:
    yield "<h4>Body</h4>"
    kinds = [kind for kind in contents if kind != "application/json"]
    if kinds:
        yield f"<p>{_inline(', '.join(f'`{kind}`' for kind in kinds))}</p>"
    for content in contents.values():
        if "properties" in _resolve(document, content["schema"]):
            yield from _table(_field_rows(document, content["schema"]))
        if "example" in content:
            yield "<pre>" + escape(_curl(path, method, content["example"])) + "</pre>"


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield path, method, operation


def _parameter_rows(
    parameters: Iterable[Json], document: Json | None = None
) -> Iterator[tuple[str, str, str]]:
    for part in parameters:
        kind = _kind(document or {}, part["schema"])
        yield part["name"], kind + (", required" if part.get("required") else ""), part.get("description", "")


def _field_rows(document: Json, schema: Json) -> Iterator[tuple[str, str, str]]:
    resolved = _resolve(document, schema)
    for name, part in resolved.get("properties", {}).items():
        kind = _kind(document, part) + (", required" if _must_give(resolved, name) else "")
        yield name, kind, _description(part)


def _description(schema: Json) -> str:
    parts = [schema, *schema.get("anyOf", ())]
    return next((part["description"] for part in parts if "description" in part), "")


def _must_give(schema: Json, name: str) -> bool:
    return schema.get("additionalProperties") is False and name in schema.get("required", ())


def _table(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    yield "<table>"
    for name, kind, description in rows:
        yield f'<tr><td><code>{escape(name)}</code></td><td class="kind">{escape(kind)}</td>'
        yield f"<td>{_inline(description)}</td></tr>"
    yield "</table>"


def _kind(document: Json, schema: Json) -> str:
    """Return a short description of the values that a schema allows."""
    schema = _resolve(document, schema)
    if "anyOf" in schema:
        words = " or ".join(_kind(document, part) for part in schema["anyOf"])
    elif "enum" in schema:
        words = " | ".join(map(str, schema["enum"]))
    elif schema.get("type") == "array":
        words = f"list of {_kind(document, schema.get('items', {}))}"
    else:
        words = str(schema.get("format") or schema.get("type") or "any JSON")
    limits = [f"{sign} {schema[name]}" for name, sign in _LIMITS if name in schema]
    default = schema.get("default")
    if default is not None:
        limits.append(f"default {msgspec.json.encode(default).decode()}")
    return ", ".join([words, *limits])


_LIMITS: Final = (
    ("minimum", "≥"),
    ("maximum", "≤"),
    ("minLength", "length ≥"),
    ("maxLength", "length ≤"),
    ("minItems", "items ≥"),
    ("maxItems", "items ≤"),
    ("maxProperties", "keys ≤"),
)


def _resolve(document: Json, part: Json) -> Json:
    """Follow a reference; what stands beside it is kept."""
    reference = part.get("$ref")
    if reference is None:
        return part
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return {**found, **{key: value for key, value in part.items() if key != "$ref"}}


def _curl(path: str, method: str, example: Json) -> str:
    return (
        f'curl -X {method.upper()} "$RUNWRIGHT_URL{path}" \\\n'
        '  -H "x-internal-secret: $KEY" -H "x-tenant-id: $TENANT" \\\n'
        '  -H "x-user-id: $USER_ID" -H "x-platform-role: tenant-system-admin" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d @- <<'END'\n{_pretty(example)}\nEND"
    )


def _pretty(value: Json) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield f"<p>{_inline(paragraph)}</p>"


def _inline(text: str) -> str:
    """Escape text; what stands between backquotes is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
