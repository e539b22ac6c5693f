"""Decides on a refund: small ones are approved, larger ones are flagged, which puts them into the inbox of people."""


def handler(input, env):
    amount, limit = input["amount"], int(env["LIMIT"])
    refund = {"order": input["order"], "amount": amount}
    if amount <= limit:
        return {"action": "approve", "reason": f"{amount} is at most {limit}.", "metadata": refund}
    print(f"{amount} for order {input['order']} needs a person")
    return {"action": "flag", "reason": f"{amount} is more than {limit}.", "metadata": refund}
