"""A command that is ended while the server works says what continues there."""

import msgspec
import pytest
import typer

from runwright.cli.jobs.bulk import continuing
from runwright.client.errors import Unreachable
from runwright.client.models.base import decode_info
from runwright.client.models.jobs import BulkInfo

RUNNING = b'{"id": "blk_1", "action": "cancel", "status": "running", "matched": 5}'
ENDED = b'{"id": "blk_0", "action": "cancel", "status": "completed", "matched": 5, "done": 5}'


@pytest.mark.parametrize(
    ("error", "raised", "why"),
    [
        (KeyboardInterrupt(), typer.Exit, "Detached"),
        (Unreachable("It does not answer."), Unreachable, "The connection was lost"),
    ],
)
def test_what_runs_is_named_with_the_commands_that_follow(
    capsys: pytest.CaptureFixture[str], error: BaseException, raised: type[Exception], why: str
) -> None:
    operations = [decode_info(BulkInfo, msgspec.Raw(raw)) for raw in (ENDED, RUNNING)]
    with pytest.raises(raised) as caught, continuing(operations):
        raise error
    assert getattr(caught.value, "exit_code", 130) == 130
    printed = capsys.readouterr().err
    assert f"{why}; the operation continues on the server." in printed
    assert "runwright jobs watch blk_1\n" in printed
    assert "runwright jobs cancel blk_1\n" in printed


def test_where_nothing_runs_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unreachable), continuing([decode_info(BulkInfo, msgspec.Raw(ENDED))]):
        raise Unreachable("It does not answer.")
    assert capsys.readouterr().err == ""
