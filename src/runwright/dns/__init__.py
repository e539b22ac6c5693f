"""Name resolution for hosts that tenants choose."""
