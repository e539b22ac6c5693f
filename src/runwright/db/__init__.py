"""PostgreSQL: the embedded server, the pool, migrations, group commit, listen and notify."""
