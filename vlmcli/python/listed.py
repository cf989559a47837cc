"""The models that `open_model` takes without downloading anything. Imports nothing that answering needs."""

from __future__ import annotations

from vlmcli import demo
from vlmcli.models import store
from vlmcli.models.store import Listed


def list_models() -> tuple[Listed, ...]:
    """The models on this machine, as `vlm ls` lists them, the demo first."""
    return store.listed(demo.FILES)
