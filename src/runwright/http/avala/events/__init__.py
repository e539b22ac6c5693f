"""Events that tenants publish."""
