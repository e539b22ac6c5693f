"""Numbers that the documentation and the contracts promise, written out.

The tests of a feature import these constants, to run faster or to stay readable; so a changed value would go
unnoticed there. A change here is a change for users, and belongs in the changelog.
"""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from runwright.agents import calls as agent_calls
from runwright.agents import model as agents
from runwright.automations import run_endings
from runwright.builds import log as build_log
from runwright.core import retry
from runwright.escape_test.catalogue import find_attempts
from runwright.events import publish
from runwright.handler_calls import service as served_calls
from runwright.handler_calls import store as children
from runwright.loops import builder, completion_dispatcher
from runwright.runtimes import handler_calls as runtime_calls
from runwright.runtimes import protocol
from runwright.schedules import tick_policy
from runwright.tool_calls import service as tool_calls
from runwright.webhooks import model as webhooks
from runwright.workers import state

KIB = 1024


@pytest.mark.parametrize(
    ("value", "promised"),
    [
        (webhooks.RETRY_SECONDS, (5, 30, 300, 1800, 7200)),
        (agent_calls.RETRY_SECONDS, (5, 30, 120)),
        (agents.DECISION_WINDOW, timedelta(minutes=10)),
        (run_endings.LONGEST_DELAY, timedelta(hours=1)),
        (retry.CAP_SECONDS, 300),
        (publish.MAX_DEPTH, 8),
        (publish.PAYLOAD_LIMIT_BYTES, 256 * KIB),
        (tick_policy.MOST_TICKS, 100),
        (tool_calls.MOST_ROUNDS, 50),
        (builder.ATTEMPTS, 3),
        (completion_dispatcher.POSTPONE_SECONDS, 10),
        (protocol.LINE_BYTES, 16 * KIB),
        (protocol.LOG_BYTES, 4 * KIB * KIB),
        (protocol.ERROR_STACK_BYTES, 32 * KIB),
        (build_log.LOG_BYTES, KIB * KIB),
        (runtime_calls.VALUE_BYTES, 60 * KIB),
        (runtime_calls.KEY_CHARS, 128),
        (runtime_calls.MESSAGE_CHARS, 200),
        (state.MOST_KEYS, 256),
        (state.STATE_BYTES, KIB * KIB),
        (served_calls.CALLS_AT_ONCE, 100),
        (served_calls.CALLS_PER_SECOND, 20),
        (served_calls.EVENTS_PER_ATTEMPT, 100),
        (served_calls.JOBS_PER_ATTEMPT, 100),
        (children.MOST_DEPTH, 8),
        (children.MOST_STARTED, 1000),
    ],
)
def test_a_limit_is_the_one_that_was_promised(value: object, promised: object) -> None:
    assert value == promised


@pytest.mark.parametrize("page", ["README.md", "docs/isolation.md"])
def test_the_number_of_escapes_is_the_one_that_is_tried(page: str) -> None:
    text = (Path(__file__).parents[2] / page).read_text()
    [promised] = re.findall(r"(\d+) (?:ways out of a sandbox|known escapes)", text)
    assert int(promised) == len(find_attempts())
