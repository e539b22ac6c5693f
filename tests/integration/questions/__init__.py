"""Questions, with a clock that the test owns."""
