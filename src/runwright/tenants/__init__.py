"""Tenants: their status, limits and quotas, their API keys, and the audit log."""
