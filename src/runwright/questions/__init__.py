"""Questions to people: who may answer, how many must agree, until when, and what becomes of them."""
