-- Which code and dependencies are still used by any version, for what deletes those that are not.
CREATE INDEX worker_versions_by_bundle ON worker_versions (bundle_digest) WHERE bundle_digest IS NOT NULL;
CREATE INDEX worker_versions_by_layer ON worker_versions (layer_key) WHERE layer_key IS NOT NULL;
CREATE INDEX layers_by_digest ON layers (digest);
