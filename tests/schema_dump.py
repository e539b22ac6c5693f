"""A database's schema as text, from PostgreSQL's own catalogs: `python -m tests.schema_dump` prints this version's.

It knows nothing of migrations, so two databases have the same dump only if they have the same schema, however
they came to it. Everything that a statement can leave behind is in it: tables with columns, types, defaults,
storage, partitions, constraints, indexes, triggers, privileges; sequences, functions, views, types,
extensions, comments and settings.
"""

import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from runwright.db.embedded import EmbeddedPostgres
from runwright.db.migrator import migrate
from runwright.db.pool import Connection, connect

DUMP: Final = Path(__file__).parent.parent / "docs" / "schema.txt"
DUMP_VERSION: Final = 18
"""The PostgreSQL that printed it: the embedded one."""

_OURS: Final = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"

_RELATIONS: Final = f"""
SELECT c.oid::regclass::text AS name,
       concat_ws(' ',
           CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'TABLE' WHEN 'v' THEN 'VIEW'
                          WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE'
                          WHEN 'c' THEN 'TYPE' ELSE c.relkind::text END,
           c.oid::regclass::text,
           CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' WHEN 't' THEN 'TEMPORARY' END,
           'PARTITION OF ' || (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
                               FROM pg_inherits WHERE inhrelid = c.oid),
           pg_get_expr(c.relpartbound, c.oid),
           'PARTITION BY ' || pg_get_partkeydef(c.oid),
           'WITH (' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) AS o) || ')',
           CASE WHEN c.relrowsecurity THEN 'ROW LEVEL SECURITY' END,
           CASE WHEN c.relreplident <> 'd' AND c.relkind IN ('r', 'p') THEN 'REPLICA IDENTITY ' || c.relreplident::text END,
           'AS ' || CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
           (SELECT format('AS %s START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s%s', seqtypid::regtype,
                          seqstart, seqincrement, seqmin, seqmax, seqcache,
                          CASE WHEN seqcycle THEN ' CYCLE' END)
            FROM pg_sequence WHERE seqrelid = c.oid)) AS text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_OURS} AND c.relkind NOT IN ('i', 'I', 't')
"""

_COLUMNS: Final = f"""
SELECT c.oid::regclass::text AS name,
       concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
           CASE WHEN a.attcollation <> t.typcollation
                THEN (SELECT 'COLLATE ' || quote_ident(collname) FROM pg_collation l WHERE l.oid = a.attcollation) END,
           CASE WHEN a.attnotnull THEN 'NOT NULL' END,
           CASE WHEN a.attgenerated <> '' THEN 'GENERATED AS' WHEN d.adbin IS NOT NULL THEN 'DEFAULT' END,
           pg_get_expr(d.adbin, d.adrelid),
           CASE a.attidentity WHEN 'a' THEN 'IDENTITY ALWAYS' WHEN 'd' THEN 'IDENTITY BY DEFAULT' END,
           CASE WHEN a.attstorage <> t.typstorage THEN 'STORAGE ' || a.attstorage::text END,
           CASE WHEN a.attcompression <> '' THEN 'COMPRESSION ' || a.attcompression::text END,
           'OPTIONS ' || a.attoptions::text, 'GRANT ' || a.attacl::text) AS text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE {_OURS} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
ORDER BY a.attnum
"""

_PARTS: Final = (
    # NOT NULL is a constraint of its own in later versions, and a property of the column in all
    f"""
    SELECT r.conrelid::regclass::text AS name,
           concat_ws(' ', 'CONSTRAINT', r.conname, pg_get_constraintdef(r.oid),
                     CASE WHEN NOT r.conislocal THEN 'INHERITED' END) AS text
    FROM pg_constraint r JOIN pg_namespace n ON n.oid = r.connamespace
    WHERE {_OURS} AND r.conrelid <> 0 AND r.contype NOT IN ('n', 't') ORDER BY r.conname
    """,
    f"""
    SELECT i.indrelid::regclass::text AS name,
           concat_ws(' ', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
                     CASE WHEN i.indisclustered THEN 'CLUSTER' END,
                     CASE WHEN i.indisreplident THEN 'REPLICA IDENTITY' END) AS text
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} ORDER BY c.relname
    """,
    f"""
    SELECT g.tgrelid::regclass::text AS name,
           concat_ws(' ', pg_get_triggerdef(g.oid), CASE WHEN g.tgenabled <> 'O' THEN 'ENABLED ' || g.tgenabled::text END)
               AS text
    FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} AND NOT g.tgisinternal ORDER BY g.tgname
    """,
    "SELECT schemaname || '.' || tablename AS name, 'POLICY ' || p::text AS text FROM pg_policies p ORDER BY policyname",
    f"""
    SELECT c.oid::regclass::text AS name, pg_get_ruledef(r.oid) AS text
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} AND r.rulename <> '_RETURN' ORDER BY r.rulename
    """,
    f"""
    SELECT c.oid::regclass::text AS name, 'STATISTICS ' || pg_get_statisticsobjdef(s.oid) AS text
    FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} ORDER BY s.stxname
    """,
    f"""
    SELECT c.oid::regclass::text AS name, 'GRANT ' || x AS text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, unnest(c.relacl::text[]) AS x WHERE {_OURS} ORDER BY x
    """,
    f"""
    SELECT c.oid::regclass::text AS name,
           format('COMMENT %s %s', (SELECT attname FROM pg_attribute
                                    WHERE attrelid = c.oid AND attnum = d.objsubid AND attnum > 0), d.description) AS text
    FROM pg_description d JOIN pg_class c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS} ORDER BY d.objsubid
    """,
)

_OTHERS: Final = (
    f"""
    SELECT pg_get_functiondef(p.oid) || coalesce(' GRANT ' || p.proacl::text, '')
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS} AND p.prokind <> 'a'
    """,
    f"""
    SELECT concat_ws(' ', 'TYPE', t.oid::regtype, t.typtype, format_type(t.typbasetype, t.typtypmod),
                     CASE WHEN t.typnotnull THEN 'NOT NULL' END, t.typdefault,
                     (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
                     (SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), ', ' ORDER BY conname)
                      FROM pg_constraint WHERE contypid = t.oid AND contype <> 'n'))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {_OURS} AND t.typtype IN ('e', 'd', 'r', 'm')
    """,
    f"""
    SELECT 'AGGREGATE ' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OURS} AND p.prokind = 'a'
    """,
    f"""
    SELECT 'OPERATOR ' || o.oid::regoperator FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE {_OURS}
    """,
    f"""
    SELECT 'COLLATION ' || n.nspname || '.' || l.collname FROM pg_collation l
    JOIN pg_namespace n ON n.oid = l.collnamespace WHERE {_OURS}
    """,
    # that of public is the server's own
    f"""
    SELECT concat_ws(' ', 'SCHEMA', n.nspname, CASE WHEN n.nspname <> 'public' THEN 'GRANT ' || n.nspacl::text END)
    FROM pg_namespace n WHERE {_OURS}
    """,
    """
    SELECT concat_ws(' ', 'EXTENSION', extname, 'SCHEMA', extnamespace::regnamespace)
    FROM pg_extension WHERE extname <> 'plpgsql'
    """,
    "SELECT concat_ws(' ', 'DEFAULT PRIVILEGES', defaclobjtype, defaclacl) FROM pg_default_acl",
    """
    SELECT 'SETTING ' || x FROM pg_db_role_setting s, unnest(s.setconfig) AS x
    WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    """,
    "SELECT concat_ws(' ', 'EVENT TRIGGER', evtname, evtevent, evtfoid::regproc) FROM pg_event_trigger",
    "SELECT 'PUBLICATION ' || pubname FROM pg_publication",
    f"""
    SELECT concat_ws(' ', 'COMMENT', p.oid::regprocedure, d.description) FROM pg_description d
    JOIN pg_proc p ON d.classoid = 'pg_proc'::regclass AND p.oid = d.objoid
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS}
    """,
)


async def dump_schema(connection: Connection) -> str:
    """Return the whole schema as text, the same for equal schemas."""
    parts: dict[str, list[str]] = defaultdict(list)
    for query in (_COLUMNS, *_PARTS):
        for name, text in await connection.fetch(query):
            parts[name].append(text)
    relations = {row["name"]: row["text"] for row in await connection.fetch(_RELATIONS)}
    others = [text for query in _OTHERS for text in sorted(row[0] for row in await connection.fetch(query))]
    return "\n\n".join((*_tables(relations, parts), *(text.strip() for text in others))) + "\n"


def _tables(relations: Mapping[str, str], parts: Mapping[str, Iterable[str]]) -> Iterable[str]:
    for name in sorted(relations):
        yield "\n    ".join((relations[name], *parts.get(name, ())))


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="runwright-schema-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder) / "data")
        connection = await connect(await server.start())
        try:
            await migrate(connection)
            sys.stdout.write(await dump_schema(connection))
        finally:
            await connection.close()
            await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
