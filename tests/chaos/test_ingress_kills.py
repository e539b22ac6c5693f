"""`kill -9` of a server while webhooks come in: what was answered 200 is one run, and is known again afterwards."""

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Final

import httpx
from tests.chaos.cluster import HEADERS, KEY, Member, free_port
from tests.webhook_sender import agh_headers

LONG: Final = os.environ.get("CHAOS") == "long"
KILLS: Final = 12 if LONG else 1
SECRET: Final = "chaos-secret"
SENDERS: Final = 8


class Sender:
    """Sends deliveries, each until it is answered; a lost answer is asked for again by the same delivery."""

    def __init__(self, http: httpx.AsyncClient, path: str) -> None:
        self.http = http
        self.path = path
        self.over = asyncio.Event()
        self.accepted: dict[str, str | None] = {}
        """The run of each delivery; None where its first answer was lost."""

    async def run(self, name: int) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            await self.send(f"{name}-{number}")

    async def send(self, delivery_id: str) -> None:
        body = json.dumps({"n": delivery_id}).encode()
        headers = agh_headers(SECRET, body, delivery_id=delivery_id)
        while True:
            try:
                answer = await self.http.post(self.path, content=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.01)
                continue
            if answer.status_code == 200:
                self.accepted[delivery_id] = answer.json()["result"]["runs"][0]["id"]
                return
            if answer.status_code == 409:  # an earlier answer was lost on the way
                assert "already processed" in answer.text
                self.accepted[delivery_id] = None
                return
            assert answer.status_code == 503, answer.text


async def all_runs(http: httpx.AsyncClient) -> list[str]:
    ids: list[str] = []
    cursor = ""
    while True:
        page = (await http.get(f"/api/automation/runs?limit=1000{cursor}")).json()
        ids += [run["id"] for run in page["runs"]]
        if "next_cursor" not in page:
            return ids
        cursor = f"&cursor={page['next_cursor']}"


async def test_what_was_answered_is_stored_once_and_known_again(folder: Path) -> None:
    chance = random.Random(7)
    port = free_port()
    member = Member("api", data_dir=folder, port=port)
    headers = {"authorization": f"Bearer {KEY}", "x-tenant-id": HEADERS["x-tenant-id"]}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as http:
        try:
            await member.start()
            body = {"scope": "global", "name": "hook", "agent_name": "nobody", "prompt": "p", "event": "webhook",
                    "endpoint_slug": "hook", "webhook_secret_value": SECRET,
                    "fire_limit": {"max": 1_000_000, "window": "1h"}}  # fmt: skip
            made = (await http.post("/api/automation/triggers", json=body)).json()["trigger"]
            sender = Sender(http, f"/api/webhooks/global/hook--{made['webhook_id']}")
            sending = [asyncio.create_task(sender.run(name)) for name in range(SENDERS)]
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.3, 0.8))
                await member.kill()
                await member.start()
            await asyncio.sleep(0.3)
            sender.over.set()
            await asyncio.gather(*sending)
            runs = await all_runs(http)
            assert len(runs) == len(set(runs)) == len(sender.accepted)
            assert {run for run in sender.accepted.values() if run is not None} <= set(runs)
            before = len(sender.accepted)
            old = dict(list(sender.accepted.items())[:20])
            for delivery_id in old:
                await sender.send(delivery_id)
            assert all(sender.accepted[delivery_id] is None for delivery_id in old)
            assert len(sender.accepted) == before
        finally:
            assert await member.stop() == 0
