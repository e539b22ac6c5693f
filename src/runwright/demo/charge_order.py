"""Charges the card of an order. Some banks decline, and some do not answer in time: it fails now and then."""

import hashlib
import time


class PaymentError(Exception):
    pass


def handler(input, env):
    order, amount = input["order"], input["amount"]
    print(f"Charging {amount:.2f} EUR for {order}")
    time.sleep(0.05)
    chance = int(hashlib.sha256(order.encode()).hexdigest(), 16) % 10
    if chance < 2:
        raise PaymentError(f"The card of {order} was declined: insufficient_funds")
    print("\x1b[32mok\x1b[0m  the bank has answered")
    return {"order": order, "charged": amount}
