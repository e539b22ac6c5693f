"""Layers: what a bundle's manifests ask for, installed once and shared by versions that ask the same."""
