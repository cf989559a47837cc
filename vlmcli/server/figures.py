"""What a server counts, for Prometheus (https://prometheus.io/docs/practices/naming)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from vlmcli.values import Answer

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Figures:
    """Counters of one server, in a registry of their own.

    Attributes:
        answers: answers so far.
    """

    def __init__(self) -> None:
        self.answers = 0
        self._registry = CollectorRegistry()
        kept = self._registry
        self.requests = Counter("vlm_requests", "Requests, by path and status.", ("path", "status"), registry=kept)
        self.seconds = Histogram(
            "vlm_request_seconds", "Seconds of a request.", ("path",), buckets=_SECONDS, registry=kept
        )
        self.under_way = Gauge("vlm_requests_under_way", "Requests that wait or are being answered.", registry=kept)
        self._tokens = Counter(
            "vlm_tokens", "Tokens, by kind: prompt, reused, picture, answer.", ("kind",), registry=kept
        )
        self._pictures = Counter("vlm_pictures", "Pictures or tiles: encoded, or known.", ("how",), registry=kept)

    def answered(self, answer: Answer) -> None:
        """Count an answer."""
        self.answers += 1
        used = answer.usage
        for kind, count in (
            ("prompt", used.prompt_tokens), ("reused", used.reused_tokens),
            ("picture", used.picture_tokens), ("answer", used.answer_tokens),
        ):  # fmt: skip
            self._tokens.labels(kind).inc(count)
        self._pictures.labels("encoded").inc(used.encoded)
        self._pictures.labels("known").inc(used.remembered)

    def page(self) -> bytes:
        """All of them in the text format."""
        return generate_latest(self._registry)
