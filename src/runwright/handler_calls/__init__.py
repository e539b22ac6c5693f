"""What handlers ask of the server while they run: state, events, further jobs."""
