"""Answers prompts of automations. Your own would ask a language model; this one counts words."""


def handler(input, env):
    prompt = input["prompt"]
    print(f"Prompt: {prompt}")
    return {"answer": f"Done. The prompt has {len(prompt.split())} words; nothing needs a person."}
