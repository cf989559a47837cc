"""What the tests share: stand-ins, servers, terminals, engines, and where things are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The tree that is tested."""
