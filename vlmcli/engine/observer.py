"""What may look on while requests are answered: for explanations and tests.

It is shown plans, encoder graphs, rows and logits. It knows nothing about who looks, and changes nothing.
"""

from __future__ import annotations

from vlmcli.engine.native import Float32, Watch
from vlmcli.engine.plan import PictureSegment, Plan
from vlmcli.values import Request


class Observer:
    """Looks on while requests are answered: for explanations and tests. Called in the engine's thread; does nothing.

    An engine that has one copies what it shows.

    Attributes:
        watches: whether it wants `encoded`, which is slower: the encoder is looked into node by node.
    """

    watches = False

    def loading(self) -> None:
        """The weights are about to be loaded."""

    def planned(self, id: int, plan: Plan) -> None:
        """The request's prompt as rows."""

    def starting(self, id: int, request: Request) -> None:
        """The request has got its sequence: what it needs is computed next."""

    def encoded(self, id: int, segment: PictureSegment, watch: Watch, rows: Float32) -> None:
        """A picture went through the encoder and the projector: float32 [rows, n_embd_inp]."""

    def picking(self, id: int, number: int, logits: Float32) -> None:
        """Token `number` of the answer is about to be picked from these: float32 [n_vocab]."""
