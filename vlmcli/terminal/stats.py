"""What answers took, in words for `--stats`: tokens, what was known before, and seconds that add up."""

from __future__ import annotations

from collections.abc import Sequence

from vlmcli.batch.course import count
from vlmcli.values import Answer, Progress, Share, Started, Timings, Usage

STAGES = {
    "start": "start", "load": "load", "picture": "picture", "restore": "cache", "encode": "encode",
    "prefill": "prefill", "generate": "answer", "wait": "wait", "other": "other",
}  # fmt: skip
"""The stages in the order in which they are shown, and what they are called there."""


def of_answer(answer: Answer, *, whole: bool = True) -> list[str]:
    """An answer's figures, in lines: its tokens, what of them was known before, and where its time went.

    Not `whole`: of the time only how long the first token took, as the rest will be in the command's figures.
    """
    usage, timings = answer.usage, answer.timings
    rate = f" ({usage.answer_tokens / timings.generate:.0f} per second)" if timings.generate > 0 else ""
    tokens = f"{count(usage.prompt_tokens, 'prompt token')} ({usage.picture_tokens:,} of pictures)"
    first = f"first token after {timings.before_answer:.2f} s"
    return [
        f"{tokens}, {count(usage.answer_tokens, 'answer token')}{rate}",
        known(usage),
        f"{first}; in all {times(timings)}" if whole else first,
    ]


def known(usage: Usage) -> str:
    """What was known before a question was asked, from which cache, and what had to be encoded."""
    said = []
    for whence, tokens, inputs in (
        ("earlier commands", usage.restored_tokens, usage.from_disk),
        ("earlier questions", usage.reused_tokens - usage.restored_tokens, usage.remembered - usage.from_disk),
    ):
        found = [f"{tokens:,} of {count(usage.prompt_tokens, 'prompt token')}"] if tokens else []
        found += [f"the embedding{'s' * (inputs > 1)} of {_inputs(inputs)}"] if inputs else []
        said += [f"known from {whence}: {' and '.join(found)}"] if found else []
    encoded = f"{_inputs(usage.encoded)} encoded" if usage.encoded else "nothing encoded"
    return "; ".join([*(said or ["nothing known before"]), encoded])


def _inputs(number: int) -> str:
    """So many inputs of the encoder."""
    return "1 picture" if number == 1 else f"{number:,} pictures or tiles"


def of_command(spent: Timings, seconds: float) -> str:
    """Where the time of a whole command went: that of its answers, and what is left as "other".

    Args:
        spent: the time of all answers together; what they waited for one another is not looked at.
        seconds: that the command took.
    """
    named = sum(getattr(spent, name) for name in STAGES if name not in ("wait", "other"))
    rest = {"wait": 0.0, "other": max(0.0, seconds - named)}
    return f"the command took {times(Timings(**(vars(spent) | rest)), seconds)}"


def of_shares(shares: Sequence[Share]) -> list[str]:
    """How many answers each server or GPU gave, in a line each; nothing where there is only one."""
    if len(shares) < 2:
        return []
    return [
        f"{share.name}: {count(share.answers, 'answer')}"
        + (f", {share.seconds:.2f} s each, {share.at_once} at once" if share.seconds else "")
        for share in shares
    ]


def times(spent: Timings, seconds: float | None = None) -> str:
    """So many seconds in all, and in each stage that took any."""
    found = [f"{word} {getattr(spent, name):.2f}" for name, word in STAGES.items() if getattr(spent, name) >= 0.005]
    whole = f"{spent.all if seconds is None else seconds:.2f} s"
    return f"{whole} ({', '.join(found)})" if found else whole


def so_far(event: Started | Progress) -> str:
    """The stages that are over, or under way, and their times; empty before the first that took any."""
    inputs = event.inputs if isinstance(event, Progress) and event.stage == "encode" else 1
    found = []
    for name, word in STAGES.items():
        seconds = getattr(event.so_far, name)
        if seconds >= 0.05:
            number = ""
            if name == "encode" and isinstance(event, Progress) and inputs > 1:
                number = f" ({min(inputs, int(event.done * inputs) + 1)} of {inputs})"
            found.append(f"{word} {seconds:.1f} s{number}")
    return ", ".join(found)
