"""Incident enrichment pipeline: scores the indicators of an incident and writes its summary.

The vendor's example asks a threat-intelligence service; this one computes, without a network.
"""

import asyncio
import hashlib
import logging

SEVERITIES = ("low", "medium", "high", "critical")


async def score(indicator: str) -> dict:
    """Score one indicator from 0 to 99, always the same for the same one."""
    await asyncio.sleep(0.05)
    return {"indicator": indicator, "score": int(hashlib.sha256(indicator.encode()).hexdigest(), 16) % 100}


async def handler(input: dict, env: dict) -> dict:
    incident = input["incident_id"]
    print(f"Fetching incident {incident}")
    print(f"Signing in to Slack with {env['SLACK_BOT_TOKEN']}")  # the log shows ***
    indicators = input.get("indicators", [f"{incident}.example.net", "198.51.100.7", "invoice.pdf.exe"])
    scored = await asyncio.gather(*(score(indicator) for indicator in indicators))
    worst = max(scored, key=lambda one: one["score"])
    severity = SEVERITIES[worst["score"] // 25]
    if SEVERITIES.index(severity) >= SEVERITIES.index(env.get("MIN_SEVERITY", "high")):
        logging.warning("%s needs a person: %s scores %d", incident, worst["indicator"], worst["score"])
    print(f"Summary for {input.get('channel', env['SLACK_CHANNEL'])} is ready")
    return {"success": True, "incident_id": incident, "severity": severity, "indicators": scored}
