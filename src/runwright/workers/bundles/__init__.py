"""Bundles: archives of files, read as if an enemy had packed them, kept by what is in them."""
