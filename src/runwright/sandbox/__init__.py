"""The sandbox of one process tree: what the host offers, namespaces, resource limits, system call filter."""
