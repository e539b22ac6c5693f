"""The same agent as a process of your own: it polls, so it needs no address that the server can reach.

pip install avala-agents
AVALA_BASE_URL=… AVALA_API_KEY=… python local.py
"""

from avala_agents import TaskAgent

agent = TaskAgent(name="local-reviewer")


@agent.on("result.submitted")
def review(context):
    if context.result_data:
        context.approve()
    else:
        context.flag("There are no annotations.")


if __name__ == "__main__":
    print("waiting for results to review", flush=True)
    agent.run()
