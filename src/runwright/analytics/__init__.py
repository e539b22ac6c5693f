"""How many jobs wait and run now, and how the ended ones ended, by day and worker."""
