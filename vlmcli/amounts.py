"""Amounts in words: bytes, seconds, and how many in a time.

Every size that vlm shows is written here, in powers of ten: files as the Hub and shops count them, and memory in the
same unit, so that the two can be compared.
"""

from __future__ import annotations


def size(count: int) -> str:
    """Bytes in words, to three figures or so: 1 GB is 10^9."""
    if count >= 999_500_000:
        return f"{count / 1e9:.2f} GB" if count < 10e9 else f"{count / 1e9:.1f} GB"
    if count >= 1_000_000:
        return f"{count / 1e6:.0f} MB" if count >= 10e6 else f"{count / 1e6:.1f} MB"
    return f"{count / 1e3:.0f} kB" if count >= 1_000 else f"{count} bytes"


def gigabytes(count: int) -> str:
    """Bytes in the unit of a column of large sizes, to two figures or so."""
    return f"{_two_figures(count / 1e9)} GB"


def duration(seconds: float) -> str:
    """Seconds in words, to two figures or so: "12 s", "7 min", "1.5 h", "17 h", "3 d"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{_two_figures(seconds / 3600)} h" if seconds < 48 * 3600 else f"{_two_figures(seconds / 86400)} d"


def about(seconds: float) -> str:
    """Seconds that something will take, in words: "about 7 min", "less than 1 s"."""
    return f"about {duration(seconds)}" if seconds >= 1 else "less than 1 s"


def _two_figures(number: float) -> str:
    """A number to one decimal, without it where it says nothing."""
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}".removesuffix(".0")


def pace(per_second: float, what: str = "") -> str:
    """So many a second, to two figures: by the minute, or by the hour where that would be less than one."""
    number, unit = (per_second * 60, "a minute") if per_second * 60 >= 1 else (per_second * 3600, "an hour")
    rounded = float(f"{number:.2g}")
    return " ".join(filter(None, (f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}", what, unit)))


def exact_duration(seconds: float) -> str:
    """Seconds that have passed, in the two largest units: 3 min 4 s."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 0.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
