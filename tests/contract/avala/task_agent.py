"""A program as users write them: one agent that approves results, and says which. Run by test_clients.py."""

import sys

from avala_agents import ResultContext, TaskAgent


def main(name: str) -> None:
    """Poll until killed."""
    agent = TaskAgent(name=name, poll_interval=0.05)

    @agent.on("result.submitted")
    def approve(context: ResultContext) -> None:
        context.approve(f"seen {context.task_uid}")
        sys.stdout.write(f"{context.execution_uid}\n")
        sys.stdout.flush()

    agent.run()


if __name__ == "__main__":
    main(sys.argv[1])
