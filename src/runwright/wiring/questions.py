"""Questions to people, in every process that may end one: those of the API and of the router."""

from runwright.db.pool import Database
from runwright.questions.service import Questions
from runwright.wiring.resources import Resources


def open_questions(res: Resources, db: Database) -> Questions:
    """Return the questions; the handlers of what waits for their ends are registered here."""
    return Questions(db, clock=res.clock, on_changed=res.event_notifications.appended)
