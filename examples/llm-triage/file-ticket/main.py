"""A tool: files a ticket, by an event that a webhook or another automation may subscribe to.

The model chooses the input, so it is checked here like any input from outside.
"""

TEAMS = ("billing", "bugs", "sales")
PRIORITIES = ("low", "normal", "urgent")


def handler(input, env):
    if input["team"] not in TEAMS or input["priority"] not in PRIORITIES:
        raise ValueError(f"team is one of {TEAMS}, priority one of {PRIORITIES}")
    print(f"{input['priority']} for {input['team']}: {input['summary']}")
    return {"filed": True, "team": input["team"], "priority": input["priority"]}
