"""The records of decisions have numbers of their own, and their links lead somewhere."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DOCUMENTS = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
_LINK = re.compile(r"\]\((?!https?:|mailto:|#|/)([^)#\s]+)")


def test_each_decision_has_a_number_of_its_own_and_none_is_left_out() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert [number for number, count in Counter(numbers).items() if count > 1] == []
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_the_title_of_a_decision_has_the_number_of_its_file() -> None:
    wrong = [
        path.name for path in DECISIONS if not re.match(rf"# 0*{int(path.name[:4])}[.:] ", path.read_text())
    ]
    assert wrong == []


def test_links_of_decisions_and_of_the_pages_at_the_root_lead_to_files() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in (*DECISIONS, *ROOT.glob("*.md"))
        for target in _LINK.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_a_link_to_a_decision_names_its_number() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {text} -> {number}"
        for path in DOCUMENTS
        for text, number in re.findall(r"\[decisions? (\d+)\]\([^)]*?(\d{4})-", path.read_text())
        if int(text) != int(number)
    ]
    assert wrong == []
