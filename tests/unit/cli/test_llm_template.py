"""The language model agent, as a sandbox would call it, against a stand-in for a model."""

import json
import runpy
from collections.abc import Callable, Iterator
from importlib import resources

import pytest

from tests.model_endpoint import Json, ModelEndpoint, model_endpoint, says, wants

TOOLS = [{"worker": "look up", "description": "Finds things."}, {"worker": "count"}]

Handler = Callable[[Json, dict[str, str]], Json]


@pytest.fixture
def model() -> Iterator[ModelEndpoint]:
    with model_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def agent(model: ModelEndpoint) -> Callable[..., Json]:
    """Call the agent with an input and settings; what it returns has been through JSON, as the server's has."""
    path = resources.files("runwright.cli") / "templates" / "llm.py"
    handler: Handler = runpy.run_path(str(path))["handler"]

    def call(input: Json, **settings: str) -> Json:
        env = {"LLM_BASE_URL": model.url, "LLM_MODEL": "m1", "LLM_API_KEY": "sk-test"} | settings
        return json.loads(json.dumps(handler(input, env)))

    return call


Agent = Callable[..., Json]


def test_a_prompt_is_answered(agent: Agent, model: ModelEndpoint, capsys: pytest.CaptureFixture[str]) -> None:
    model.script = [says("four", tokens=12)]
    assert agent({"prompt": "2 + 2?"}, LLM_SYSTEM_PROMPT="Be brief.") == {
        "answer": "four",
        "steps": 1,
        "tokens": 12,
    }
    [asked] = model.asked
    assert asked["model"] == "m1"
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 2?"},
        ]  # fmt: skip
    assert "tools" not in asked
    assert model.keys == ["Bearer sk-test"]
    assert capsys.readouterr().out.splitlines() == ["[system] Be brief.", "[user] 2 + 2?", "[assistant] four"]


def test_an_input_without_a_prompt_is_the_prompt(agent: Agent, model: ModelEndpoint) -> None:
    model.script = [says("ok")]
    agent({"ref": "main"})
    assert model.asked[0]["messages"][1]["content"] == '{"ref": "main"}'


def test_tools_are_asked_for_and_their_results_given_to_the_model(agent: Agent, model: ModelEndpoint) -> None:
    tools = json.dumps(TOOLS)
    model.script = [wants(("look_up_0", '{"q": 1}'), ("count_1", "")), says("done", tokens=5)]
    asking = agent({"prompt": "go"}, AGENT_TOOLS=tools)
    assert asking["tool_calls"] == [
        {"id": "call_0", "worker": "look up", "input": {"q": 1}},
        {"id": "call_1", "worker": "count", "input": {}},
    ]
    assert [tool["function"]["name"] for tool in model.asked[0]["tools"]] == ["look_up_0", "count_1"]
    results = [
        {"id": "call_0", "worker": "look up", "status": "completed", "output": {"found": "é"}, "error": None},
        {"id": "call_1", "worker": "count", "status": "failed", "output": None, "error": "no such thing"},
    ]
    done = agent({"prompt": "go", "state": asking["state"], "tool_results": results}, AGENT_TOOLS=tools)
    assert done == {"answer": "done", "steps": 2, "tokens": 15}
    assert model.asked[1]["messages"][3:] == [
        {"role": "tool", "tool_call_id": "call_0", "content": '{"found": "é"}'},
        {"role": "tool", "tool_call_id": "call_1", "content": "The tool failed: no such thing"},
    ]


@pytest.mark.parametrize(
    "call", [("count_0", "{}"), ("delete_all", "{}"), ("raise_event", '{"event": "x.y"}')]
)
def test_a_tool_that_is_not_listed_is_refused_here(
    agent: Agent, model: ModelEndpoint, call: tuple[str, str]
) -> None:
    model.script = [wants(call), says("sorry")]
    assert agent({"prompt": "go"}, AGENT_TOOLS=json.dumps(TOOLS))["answer"] == "sorry"
    assert model.asked[1]["messages"][-1]["content"] == f"There is no tool {call[0]}."


@pytest.mark.parametrize("arguments", ["[]", "{", "1"])
def test_arguments_that_are_no_object_are_told_to_the_model(
    agent: Agent, model: ModelEndpoint, arguments: str
) -> None:
    model.script = [wants(("count_1", arguments)), says("sorry")]
    agent({"prompt": "go"}, AGENT_TOOLS=json.dumps(TOOLS))
    assert model.asked[1]["messages"][-1]["content"] == "The arguments must be a JSON object."


def test_events_are_raised_where_that_is_allowed(agent: Agent, model: ModelEndpoint) -> None:
    model.script = [wants(("raise_event", '{"event": "custom.done", "payload": {"n": 1}}')), says("told")]
    done = agent({"prompt": "go"}, LLM_RAISES_EVENTS="true")
    assert done["events"] == [{"event": "custom.done", "payload": {"n": 1}}]


@pytest.mark.parametrize(
    ("settings", "requests"),
    [({"LLM_MAX_STEPS": "3"}, 3), ({"LLM_MAX_TOKENS": "25"}, 3), ({"LLM_MAX_TOKENS": "10"}, 1)],
)
def test_an_agent_ends_with_its_budget(
    agent: Agent, model: ModelEndpoint, settings: dict[str, str], requests: int
) -> None:
    model.script = [wants(("nothing", "{}"), tokens=10)]
    with pytest.raises(Exception, match="has used its"):
        agent({"prompt": "go"}, **settings)
    assert len(model.asked) == requests
    assert model.asked[-1]["max_tokens"] <= int(settings.get("LLM_MAX_TOKENS", "4096"))


def test_an_endpoint_that_counts_no_tokens_is_counted_for(agent: Agent, model: ModelEndpoint) -> None:
    model.script = [{"choices": says("x" * 400)["choices"]}]
    assert agent({"prompt": "go"})["tokens"] > 100


def test_an_endpoint_that_is_busy_is_asked_again(agent: Agent, model: ModelEndpoint) -> None:
    model.script = [429, 429, says("at last")]
    assert agent({"prompt": "go"})["answer"] == "at last"


@pytest.mark.parametrize("statuses", [[400], [429, 429, 429]])
def test_an_endpoint_that_refuses_is_an_error_that_says_so(
    agent: Agent, model: ModelEndpoint, statuses: list[int]
) -> None:
    model.script = statuses
    with pytest.raises(RuntimeError, match=f"answered {statuses[-1]}") as refused:
        agent({"prompt": "go"})
    assert len(model.asked) == len(statuses)
    assert "sk-test" not in str(refused.value)


def test_more_tools_than_are_called_at_a_time_are_asked_for_in_turns(
    agent: Agent, model: ModelEndpoint
) -> None:
    tools = json.dumps(TOOLS)
    calls = [("count_1", json.dumps({"n": n})) for n in range(19)]
    model.script = [wants(*calls), says("done")]
    output, counts = agent({"prompt": "go"}, AGENT_TOOLS=tools), []
    while "tool_calls" in output:
        counts.append(len(output["tool_calls"]))
        results = [
            {"id": one["id"], "worker": "count", "status": "completed", "output": one["input"], "error": None}
            for one in output["tool_calls"]
        ]
        output = agent({"prompt": "go", "state": output["state"], "tool_results": results}, AGENT_TOOLS=tools)
    assert (output["answer"], counts) == ("done", [8, 8, 3])
    assert len(model.asked) == 2
    answers = [one["content"] for one in model.asked[1]["messages"] if one["role"] == "tool"]
    assert answers == [json.dumps({"n": n}) for n in range(19)]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_was_cut_off_is_no_answer(agent: Agent, model: ModelEndpoint, reason: str) -> None:
    cut = says("half an ans")
    cut["choices"][0]["finish_reason"] = reason
    model.script = [cut]
    with pytest.raises(RuntimeError, match=rf"incomplete \({reason}\)"):
        agent({"prompt": "go"})
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>Welcome</html>",
        b"",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"text": "a completion of another kind"}]}',
        b'{"choices": [{"message": {"tool_calls": [{"id": "1"}]}}]}',
        b'{"choices": [{"message": {"tool_calls": "no"}}]}',
        b'{"error": {"message": "no such model"}}',
    ],
)
def test_an_answer_that_is_no_completion_is_shown(agent: Agent, model: ModelEndpoint, answer: bytes) -> None:
    model.script = [answer]
    with pytest.raises(RuntimeError, match="no chat completion: ") as refused:
        agent({"prompt": "go"})
    assert answer.decode()[:20] in str(refused.value)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the agent has waited; it does not."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def test_a_connection_that_is_cut_is_made_again(
    agent: Agent, model: ModelEndpoint, pauses: list[float]
) -> None:
    model.script = [None, None, says("at last")]
    assert agent({"prompt": "go"})["answer"] == "at last"
    assert len(model.asked) == 3
    assert pauses == [2.0, 4.0]


@pytest.mark.usefixtures("pauses")
def test_an_endpoint_that_is_not_there_is_an_error_that_says_so(agent: Agent, model: ModelEndpoint) -> None:
    model.script = [None]
    with pytest.raises(RuntimeError, match="cannot be reached: "):
        agent({"prompt": "go"})
    assert len(model.asked) == 3
