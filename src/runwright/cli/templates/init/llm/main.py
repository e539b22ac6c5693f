"""A worker that asks a language model: any endpoint that speaks OpenAI's chat completions.

Its key is a secret, which the worker gets as an environment variable and which logs never show:
    runwright secrets set LLM_API_KEY
"""

import json
import urllib.request


def handler(input, env):
    body = {
        "model": env["LLM_MODEL"],
        "messages": [
            {
                "role": "system",
                "content": "Classify the ticket: urgent, normal or spam. Answer with one word.",
            },
            {"role": "user", "content": input["text"]},
        ],
    }
    request = urllib.request.Request(
        f"{env['LLM_BASE_URL']}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {env['LLM_API_KEY']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)["choices"][0]["message"]["content"]
    print("classified as", answer)
    return {"label": answer.strip().lower()}
