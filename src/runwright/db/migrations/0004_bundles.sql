-- Bundles, and the versions that hold them.
--
-- A blob is a canonical archive, named by the sha256 of its bytes, kept once whoever sent it and
-- never changed. Its chunks are pieces of one zlib stream.

CREATE TABLE blobs (
    digest       text COLLATE "C" PRIMARY KEY,
    size_bytes   bigint NOT NULL,
    packed_bytes bigint NOT NULL,
    chunks       integer NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE TABLE blob_chunks (
    digest text COLLATE "C" NOT NULL REFERENCES blobs (digest),
    n      integer NOT NULL,
    data   bytea NOT NULL,
    PRIMARY KEY (digest, n)
);
-- they are packed already
ALTER TABLE blob_chunks ALTER COLUMN data SET STORAGE EXTERNAL;

-- The row's version is the one that serves. Versions up to settled_version that are still being
-- built do not become it by themselves: something newer was activated, or somebody rolled back.
ALTER TABLE workers ADD COLUMN settled_version integer NOT NULL DEFAULT 1;
UPDATE workers SET settled_version = version;

ALTER TABLE worker_versions
    ADD COLUMN status        text NOT NULL DEFAULT 'ready' CHECK (status IN ('building', 'ready', 'failed')),
    ADD COLUMN bundle_digest text COLLATE "C" REFERENCES blobs (digest),
    -- what its dependencies are, where it has any
    ADD COLUMN layer_key     text COLLATE "C",
    ADD COLUMN size_bytes    bigint,
    ADD COLUMN files         integer,
    -- why it failed, for its owner
    ADD COLUMN error         text;
CREATE INDEX worker_versions_building ON worker_versions (layer_key) WHERE status = 'building';
