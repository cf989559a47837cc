"""Stand-ins: a vocabulary of characters, a KV cache of Python lists, a runner that follows a script."""

import queue

from vlmcli.errors import Cancelled
from vlmcli.values import Answer, Delta, Done, Failed, Started, Timings, Usage


class FakeVocabulary:
    """Characters are tokens by code point; `special` and `added` texts are one token each, from 2,000,000 on."""

    def __init__(self, special=("<|im_start|>", "<|im_end|>"), added=()):
        self.special = list(special)
        self.added = list(added)

    def tokenize(self, text, parse_special):
        names = [*(self.special if parse_special else []), *self.added]
        tokens = []
        while text:
            found = next((name for name in names if text.startswith(name)), None)
            tokens.append(self.id(found) if found else ord(text[0]))
            text = text[len(found or text[0]) :]
        return tokens

    def id(self, text):
        return 2_000_000 + [*self.special, *self.added].index(text)

    def text(self, token):
        return [*self.special, *self.added][token - 2_000_000] if token >= 2_000_000 else chr(token)

    def is_special(self, token):
        return token >= 2_000_000 and self.text(token) in self.special

    def is_added(self, token):
        return token >= 2_000_000 and self.text(token) in self.added


class FakeCache:
    """What the scheduler's decisions do to a KV cache: sequences of (identity, cell) pairs, cells shared by forks."""

    def __init__(self, n_ctx, n_seq, can_roll_back):
        self.n_ctx = n_ctx
        self.can_roll_back = can_roll_back
        self.sequences = [[] for _ in range(n_seq)]
        self.next_cell = 0

    def seat(self, admission):
        for seq in admission.forget:
            self.sequences[seq] = []
        ticket = admission.ticket
        seq = ticket.seat.seq
        if admission.source is not None:
            source = self.sequences[admission.source]
            assert self.can_roll_back or len(source) == ticket.row, "a recurrent state can only be forked whole"
            self.sequences[seq] = source[: ticket.row]
        elif admission.end:
            assert self.can_roll_back or len(self.sequences[seq]) == ticket.row
            del self.sequences[seq][ticket.row :]
        else:
            self.sequences[seq] = []
        assert [identity for identity, _ in self.sequences[seq]] == ticket.plan.identities[: ticket.row].tolist()

    def append(self, seq, identities):
        for identity in identities:
            self.sequences[seq].append((identity, self.next_cell))
            self.next_cell += 1
        cells = {cell for rows in self.sequences for _, cell in rows}
        assert len(cells) <= self.n_ctx, "more cells than there are"

    def holds(self, seq):
        return [identity for identity, _ in self.sequences[seq]]


class ScriptedRunner:
    """Answers the n-th request with the n-th outcome: a text, or an error."""

    def __init__(self, outcomes, finish_reason="stop"):
        self.outcomes = list(outcomes)
        self.finish_reason = finish_reason
        self.requests = []
        self.cancelled = []
        self.queue = queue.SimpleQueue()

    def submit(self, request):
        id = len(self.requests)
        self.requests.append(request)
        outcome = self.outcomes[id]
        self.queue.put(Started(id))
        if isinstance(outcome, Exception):
            self.queue.put(Failed(id, outcome))
        else:
            for word in outcome.split(" "):
                self.queue.put(Delta(id, " " + word))
            answer = Answer(" " + outcome, self.finish_reason, Usage(1, 2, 0, 3), Timings(), "scripted")
            self.queue.put(Done(id, answer))
        return id

    def cancel(self, id):
        self.cancelled.append(id)
        self.queue.put(Failed(id, Cancelled()))

    def events(self):
        while not self.queue.empty():
            yield self.queue.get()

    def close(self):
        pass
