"""Executors and their leases: who may run jobs, and the rescue of what a lost executor held."""
