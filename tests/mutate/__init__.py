"""Mutation testing: `make mutate ARGS='core cron'`. Changes the code bit by bit and sees whether a test notices."""
