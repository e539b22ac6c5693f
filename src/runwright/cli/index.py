"""The commands and their summaries, so that `runwright --help` needs to load none of them.

A summary is the first line of the command's docstring; a test holds them equal.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ABOUT: Final = "Runwright runs your code on your server: jobs, schedules, webhooks, agents."

SECTIONS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "Start": {
            "init": "Create a folder with a worker to start from.",
            "dev": "Run a folder locally: deploy and run on save, logs live.",
            "deploy": "Make the server match a folder's runwright.toml: plan and apply.",
            "run": "Run a worker and print its output.",
        },
        "Look": {
            "logs": "Show the log of a job, or of a worker's newest jobs.",
            "explain": "Explain where a job is and why.",
            "jobs": "List, watch, cancel, retry and share jobs.",
            "stats": "Show how the jobs of each worker went, and how many wait.",
            "top": "Watch queues, rates and running jobs; q quits.",
            "workers": "List workers and their versions, roll back, pause, delete.",
        },
        "Configure": {
            "schedules": "Run jobs by the clock, now, or for the past.",
            "webhooks": "Send events to URLs, and look at the deliveries.",
            "events": "Publish custom events, and read the log of events.",
            "inbox": "See what waits for a person, and answer it.",
            "secrets": "Set secrets, which workers get as environment variables.",
            "agents": "See agents, and create them from templates.",
            "automation": "Prompts for agents: on a schedule, on an event, on a webhook.",
        },
        "Connect": {
            "login": "Save the address and the key of a server as a profile.",
            "logout": "Forget a profile and its key.",
            "whoami": "Show the server, the tenant and the role that commands act with.",
            "profile": "List profiles, and choose the one that commands use.",
            "open": "Print a link that signs a browser in, once.",
            "mcp": "Serve language models by MCP on standard input and output.",
            "completion": "Print the completion script of a shell.",
        },
        "Operate a server": {
            "serve": "Run the server until SIGTERM or SIGINT, then drain.",
            "system": "Show executors, isolation, queue, database and disks.",
            "tenants": "Manage tenants.",
            "keys": "Manage the API keys of tenants.",
            "vault": "Manage the keys that encrypt secrets.",
            "backup": "Write a backup of the whole installation to a file.",
            "restore": "Restore a backup into an empty place, or check it.",
            "audit": "Verify the audit log, and export it.",
            "db": "Manage the schema of the database.",
            "config": "Print every setting with its source; secrets are hidden.",
            "doctor": "Check isolation, runtimes and database of this host.",
            "version": "Print the version.",
        },
    }
)

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {name: summary for section in SECTIONS.values() for name, summary in section.items()}
)

EXAMPLES: Final = (
    "runwright init hello && runwright dev hello",
    "runwright deploy",
    "runwright run hello -i name=Ada",
    "runwright jobs retry --status failed --since 24h --dry-run",
)
