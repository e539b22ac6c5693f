"""An agent: it approves small refunds, and leaves large ones to a person, in the inbox."""


def handler(input, env):
    amount, limit = input.get("amount", 0), int(env.get("LIMIT", "200"))
    if amount > limit:
        return {
            "action": "flag",
            "reason": f"{amount} EUR is more than the {limit} EUR that I may approve. Is the parcel back?",
        }
    print(f"{amount} EUR is within the limit")
    return {"action": "approve", "reason": "Within the limit"}
