"""Helpers without a subject of their own: files, hashes, numbers, warnings."""
