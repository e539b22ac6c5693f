"""Installation of dependencies: the layers of versions, shared by versions with equal manifests."""
