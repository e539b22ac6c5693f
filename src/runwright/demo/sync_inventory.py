"""Compares the stock of 40 shelves with the shop's, step by step, and reports how far it is."""

import time

from runwright import job, log

SHELVES = 40


def handler(input, env):
    missing = 0
    for shelf in range(1, SHELVES + 1):
        job.progress(shelf / SHELVES, f"Shelf {shelf} of {SHELVES}")
        log.info("shelf counted", shelf=shelf, articles=12 + shelf * 7 % 31)
        time.sleep(0.5)
        if shelf % 9 == 4:
            missing += 1
            log.warn("stock differs", shelf=shelf, warehouse=input.get("warehouse", 1))
    return {"shelves": SHELVES, "differ": missing}
