"""Contestants side by side in one run, on models this package makes itself."""
