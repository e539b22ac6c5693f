"""What waits for a person, from every part of the server that asks one."""
