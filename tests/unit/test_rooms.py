"""Rooms keep their size, and the folders of resources their form."""

import ast
from pathlib import Path

import runwright

SOURCE = Path(runwright.__file__).parent
MOST_LINES = 4_000


def test_jobs_and_executor_have_four_thousand_lines_at_most() -> None:
    lines = {
        room: sum(len(path.read_text().splitlines()) for path in (SOURCE / room).rglob("*.py"))
        for room in ("jobs", "executor")
    }
    assert min(lines.values()) > 1_000, "they are counted"
    assert sum(lines.values()) <= MOST_LINES, lines


def test_a_resource_with_more_than_two_structs_has_a_schemas_file() -> None:
    crowded = {}
    for path in (SOURCE / "http").rglob("routes.py"):
        structs = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        if len(structs) > 2:
            crowded[str(path.relative_to(SOURCE))] = structs
    assert crowded == {}


def test_every_room_is_in_the_table_of_the_architecture() -> None:
    table = (SOURCE.parents[1] / "ARCHITECTURE.md").read_text()
    rooms = [path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()]
    assert len(rooms) > 30
    assert [room for room in rooms if f"`{room}/`" not in table] == []
