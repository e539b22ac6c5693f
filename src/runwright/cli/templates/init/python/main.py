"""A worker: what `handler` returns is the job's output, what it prints is the job's log."""


async def handler(input, env):
    name = input.get("name", "world")
    print(f"greeting {name}")
    return {"text": f"{env['GREETING']}, {name}!"}
