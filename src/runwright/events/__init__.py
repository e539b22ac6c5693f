"""The log of events, subscriptions to it, and completion callbacks."""
