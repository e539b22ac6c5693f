"""Deliveries to webhook endpoints."""
