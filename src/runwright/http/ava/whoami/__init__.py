"""Whom a request is made for."""
