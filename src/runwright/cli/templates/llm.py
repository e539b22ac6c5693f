"""An agent that hands its prompt to a language model (any endpoint that speaks OpenAI's chat completions).

Its environment configures it: `LLM_BASE_URL`, `LLM_MODEL`, `LLM_SYSTEM_PROMPT`,
`LLM_MAX_STEPS` (answers of the model), `LLM_MAX_TOKENS` (in all, both ways), `AGENT_TOOLS` (other
workers that it may call), `LLM_RAISES_EVENTS` (whether the model may raise events); the secret
`LLM_API_KEY` goes to the endpoint and nowhere else. The log of its jobs is the transcript.

The model's wish to use a tool is returned as `tool_calls`; the server runs those workers and calls
this one again with their results and the `state` from here. What comes in with the prompt is other
people's text: a model may be talked into calling any tool in the list, so list harmless ones.
"""

import http.client
import json
import time
import urllib.error
import urllib.request

MOST_CALLS = 8
"""How many tools the server calls at a time; the rest is asked for afterwards."""
TRIES = 3
LONGEST_PAUSE_SECONDS = 20.0
LOGGED_CHARACTERS = 8_000
LONGEST_ANSWER_BYTES = 4 * 1024 * 1024
RAISE_EVENT = "raise_event"
NO_COMPLETION = "The model's endpoint answered something that is no chat completion: "
CUT_OFF = {
    "length": "it has used LLM_ANSWER_TOKENS, or what is left of LLM_MAX_TOKENS.",
    "content_filter": "the endpoint has left content out.",
}
"""Why an answer may end before its end."""


class BudgetError(Exception):
    """The agent may go no further."""


def handler(input, env):
    tools = json.loads(env.get("AGENT_TOOLS") or "[]")
    state = input.get("state") or begin(input, env)
    take_results(state, input.get("tool_results") or [])
    while not state.get("wanted"):
        message = ask_model(state, tools, env)
        calls = message.get("tool_calls") or []
        if not calls:
            return finish(state, message.get("content") or "")
        state["wanted"] = [call for call in calls if not answered_here(state, call, tools, env)]
    now, state["wanted"] = state["wanted"][:MOST_CALLS], state["wanted"][MOST_CALLS:]
    return {"tool_calls": [as_call(call, tools) for call in now], "state": state}


def begin(input, env):
    prompt = input.get("prompt")
    if not isinstance(prompt, str):
        prompt = json.dumps(input, ensure_ascii=False)
    system = env.get("LLM_SYSTEM_PROMPT") or "You are an agent. Do what the user asks, and answer briefly."
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    for message in messages:
        log(message["role"], message["content"])
    return {"messages": messages, "steps": 0, "tokens": 0, "events": []}


def take_results(state, results):
    for result in results:
        if result["status"] == "completed":
            text = json.dumps(result["output"], ensure_ascii=False)
        else:
            text = f"The tool {result['status']}: {result['error']}"
        answer(state, result["id"], text)


def answer(state, call_id, text):
    log("tool", text)
    state["messages"].append({"role": "tool", "tool_call_id": call_id, "content": text})


def ask_model(state, tools, env):
    most_steps = int(env.get("LLM_MAX_STEPS") or 10)
    most_tokens = int(env.get("LLM_MAX_TOKENS") or 50_000)
    if state["steps"] >= most_steps:
        raise BudgetError(f"The agent has used its {most_steps} steps.")
    if state["tokens"] >= most_tokens:
        raise BudgetError(f"The agent has used its {most_tokens} tokens.")
    request = {"model": env["LLM_MODEL"], "messages": state["messages"]}
    if schemas := tool_schemas(tools, env):
        request["tools"] = schemas
    request["max_tokens"] = max(
        1, min(most_tokens - state["tokens"], int(env.get("LLM_ANSWER_TOKENS") or 4_096))
    )
    reply = post(env, request)
    choice = choice_of(reply)
    state["steps"] += 1
    state["tokens"] += used_tokens(reply, request)
    reason = choice.get("finish_reason")
    if reason in CUT_OFF:
        raise RuntimeError(f"The model's answer is incomplete ({reason}): {CUT_OFF[reason]}")
    message = {"role": "assistant"} | {
        name: value
        for name, value in choice["message"].items()
        if name in {"content", "tool_calls"} and value
    }
    state["messages"].append(message)
    log("assistant", message.get("content") or "")
    for call in message.get("tool_calls") or []:
        log("assistant", f"calls {call['function']['name']} {call['function'].get('arguments') or '{}'}")
    return message


def choice_of(reply):
    """Return the first choice of a chat completion; RuntimeError says what came instead."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    calls = (message.get("tool_calls") or []) if isinstance(message, dict) else None
    if isinstance(calls, list) and all(map(is_call, calls)):
        return choice
    raise RuntimeError(NO_COMPLETION + json.dumps(reply, ensure_ascii=False)[:500])


def is_call(call):
    function = call.get("function") if isinstance(call, dict) else None
    named = isinstance(function, dict) and isinstance(function.get("name"), str)
    return named and isinstance(call.get("id"), str) and isinstance(function.get("arguments") or "", str)


def used_tokens(reply, request):
    """Return the tokens that the endpoint reports, or an estimate, so that budgets hold."""
    usage = reply.get("usage")
    reported = usage.get("total_tokens") if isinstance(usage, dict) else None
    return (
        reported
        if isinstance(reported, int) and reported > 0
        else len(json.dumps([request, reply["choices"]])) // 4 + 1
    )


def tool_schemas(tools, env):
    schemas = [
        schema(
            name_of(place, tool),
            tool.get("description") or f"Runs the worker {tool['worker']}.",
            tool.get("parameters"),
        )
        for place, tool in enumerate(tools)
    ]
    if raises_events(env):
        schemas.append(
            schema(
                RAISE_EVENT,
                "Notifies the rest of the system that something happened.",
                {
                    "type": "object",
                    "properties": {"event": {"type": "string"}, "payload": {"type": "object"}},
                    "required": ["event"],
                },
            )
        )
    return schemas


def schema(name, description, parameters):
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": parameters or {"type": "object", "additionalProperties": True},
        },
    }


def name_of(place, tool):
    """Return a name that every endpoint takes: letters, digits, - and _, at most 64."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_"
        for letter in tool["worker"]
    )
    return f"{plain[:56]}_{place}"


def answered_here(state, call, tools, env):
    """Answer a call that needs no worker: one that raises an event, or that is a mistake."""
    name, arguments = call["function"]["name"], read_arguments(call)
    if name == RAISE_EVENT and raises_events(env) and arguments is not None:
        state["events"].append(
            {"event": str(arguments.get("event")), "payload": arguments.get("payload") or {}}
        )
        answer(state, call["id"], "raised")
    elif arguments is None:
        answer(state, call["id"], "The arguments must be a JSON object.")
    elif name not in {name_of(place, tool) for place, tool in enumerate(tools)}:
        answer(state, call["id"], f"There is no tool {name}.")
    else:
        return False
    return True


def as_call(call, tools):
    workers = {name_of(place, tool): tool["worker"] for place, tool in enumerate(tools)}
    return {"id": call["id"], "worker": workers[call["function"]["name"]], "input": read_arguments(call)}


def read_arguments(call):
    try:
        arguments = json.loads(call["function"].get("arguments") or "{}")
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None


def raises_events(env):
    return env.get("LLM_RAISES_EVENTS") == "true"


def finish(state, text):
    result = {"answer": text, "steps": state["steps"], "tokens": state["tokens"]}
    return result | ({"events": state["events"]} if state["events"] else {})


def post(env, body):
    request = urllib.request.Request(
        env["LLM_BASE_URL"].rstrip("/") + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer " + env.get("LLM_API_KEY", "")},
    )
    for left in reversed(range(TRIES)):
        try:
            with urllib.request.urlopen(
                request, timeout=float(env.get("LLM_TIMEOUT_SECONDS") or 120)
            ) as response:
                return decoded(response.read(LONGEST_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            if not left or (error.code != 429 and error.code < 500):
                detail = error.read(500).decode(errors="replace")
                raise RuntimeError(f"The model's endpoint answered {error.code}: {detail}") from None
            pause(error.headers.get("Retry-After"), TRIES - left)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            if not left:
                raise RuntimeError(f"The model's endpoint cannot be reached: {reason}") from None
            log("agent", f"The endpoint cannot be reached ({reason}); trying again.")
            pause(None, TRIES - left)


def decoded(text):
    try:
        return json.loads(text)
    except ValueError:
        raise RuntimeError(NO_COMPLETION + text[:500].decode(errors="replace")) from None


def pause(retry_after, tries):
    wished = float(retry_after) if (retry_after or "").isdigit() else 2.0**tries
    time.sleep(min(wished, LONGEST_PAUSE_SECONDS))


def log(role, text):
    print(f"[{role}] {text[:LOGGED_CHARACTERS]}")
