"""Tenants and their keys: who may call."""
