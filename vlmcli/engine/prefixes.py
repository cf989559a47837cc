"""Between requests and the store of prefixes: what is kept goes into the KV cache, and what is new is kept.

A prefix is kept at its anchor, the row behind the last picture, before anything of the question is computed: the state
then is what it was when the same question was asked first, and the same batches follow.
"""

from __future__ import annotations

import logging

from vlmcli.engine.job import Job
from vlmcli.engine.kv_cache import KVCache
from vlmcli.engine.loading import Loaded
from vlmcli.engine.plan import Plan, common_prefix
from vlmcli.engine.planning import Planned
from vlmcli.engine.prefix_store import KeptPrefix, closing_of
from vlmcli.engine.scheduler import Scheduler
from vlmcli.errors import NativeError

log = logging.getLogger("vlmcli.engine")


class Prefixes:
    """Restores and keeps the prefixes of requests; does nothing where there is no store."""

    def __init__(self, loaded: Loaded, scheduler: Scheduler, cache: KVCache) -> None:
        self._loaded = loaded
        self._scheduler = scheduler
        self._cache = cache

    def restore(self, job: Job) -> int:
        """Put the beginning of a request's prompt into its sequence, if it is kept. Returns how many rows that were."""
        stores, ticket = self._loaded.stores, job.ticket
        anchor = ticket.plan.anchor
        if stores is None or job.stored or ticket.row >= anchor or not self._scheduler.may_restore(ticket):
            return 0
        kept = job.planned.kept or stores.prefixes.find(job.planned.prompt)
        job.planned = job.planned.without_kept()
        if kept is None:
            return 0
        rows = Plan(kept.segments).identities
        job.known = len(rows) == anchor == common_prefix(rows, ticket.plan.identities)
        if not job.known or not kept.pieces:
            return 0
        job.stored = self._cache.restore(ticket, kept.pieces, anchor, kept.last_position)
        if job.stored and ticket.seat is not None:
            ticket.seat.stored = True
        return anchor if job.stored else 0

    def kept_rows(self, planned: Planned) -> int:
        """How many rows of a planned prompt would come from the disk, as far as can be told without reading them."""
        stores = self._loaded.stores
        rows = 0 if stores is None else stores.prefixes.rows(planned.prompt)
        return rows if rows == planned.plan.anchor else 0

    def keep(self, job: Job) -> None:
        """Keep the beginning of a request's prompt, if it ends just here and took long enough."""
        stores, ticket, planned = self._loaded.stores, job.ticket, job.planned
        if stores is None or job.stored or ticket.row != planned.plan.anchor or ticket.seat is None:
            return
        closing = closing_of(planned.plan, planned.prompt, self._loaded.model)
        if closing is None:
            log.info("the prompt's beginning cannot be kept: its tokens are not those of its parts")
            return
        index, _ = planned.plan.at(ticket.row)
        pieces: list[memoryview] = []
        if job.computing >= stores.caching.seconds and self._loaded.model.has_state:
            try:
                pieces = self._cache.state(ticket, self._takes)
            except NativeError as error:
                log.info("the prompt's beginning cannot be kept: %s", error.message)
        if job.known and not pieces:
            return
        job.stored = job.known = True
        ticket.seat.stored = bool(pieces)
        last = self._loaded.context.last_position(ticket.seat.seq)
        kept = KeptPrefix(planned.plan.segments[:index], closing, pieces, last)
        stores.later(lambda: stores.prefixes.keep(planned.prompt, kept))

    def _takes(self, size: int) -> bool:
        """Whether a state of so many bytes is small enough to be kept."""
        stores = self._loaded.stores
        return stores is not None and size <= stores.caching.prefix and stores.prefixes.takes(size)
