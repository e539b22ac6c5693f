"""Agents and their executions."""

from runwright.telemetry.emit import TelemetryEvent, TimedEvent, WarningEvent


class AgentJobsSubmitted(TimedEvent, frozen=True):
    """Executions were handed to the workers of their agents."""

    logged = False
    count: int


class AgentDeactivated(WarningEvent, frozen=True):
    """An agent was deactivated because its callback answered that it no longer exists."""

    agent_id: str


class ExecutionsTimedOut(TelemetryEvent, frozen=True):
    """Executions were not decided in time."""

    count: int


class QuestionsTimedOut(TelemetryEvent, frozen=True):
    """Questions were not answered in time."""

    count: int


class QuestionsEscalated(TelemetryEvent, frozen=True):
    """Questions were not answered for so long that others may answer them too."""

    count: int


class PollLeasesExpired(TelemetryEvent, frozen=True):
    """Executions were returned because the agent that had polled them did not decide in time."""

    count: int
