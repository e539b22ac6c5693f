"""PostgreSQL: the embedded server, connection pools, migrations, group commit, LISTEN/NOTIFY, pagination."""
