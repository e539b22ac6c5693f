"""Pays a refund that was approved. The bank knows a payment again by its key, so a retry does not pay twice."""

import json
import urllib.request


def handler(input, env):
    decision = input["activation"]["data"]
    refund = decision["metadata"]
    print(f"paying {refund['amount']} for order {refund['order']}, approved by {decision['decided_by']}")
    request = urllib.request.Request(
        f"{env['BANK_URL']}/payments",
        json.dumps(refund).encode(),
        {
            "Authorization": f"Bearer {env['BANK_TOKEN']}",
            "Content-Type": "application/json",
            "Idempotency-Key": decision["execution_id"],
        },
    )
    urllib.request.urlopen(request, timeout=20).close()
    return refund
