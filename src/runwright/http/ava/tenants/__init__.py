"""Tenants, for the operator."""
