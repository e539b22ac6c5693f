"""The SQL of endpoints and deliveries."""
