"""Into a cluster that is there: its address, whether anybody is at it, and whether it wants a token.

Ray tries for minutes to reach an address where nobody is, and does not say that a token is missing. So both are found
out first. A cluster whose head has found ~/.ray/auth_token wants that token of everybody, and only who has set
RAY_AUTH_MODE=token sends it; that must be set when Ray is imported, so that this process begins again.
Source: https://docs.ray.io/en/latest/ray-security/token-auth.html
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from vlmcli.errors import ClusterError

LOCAL = "local"
CONNECT_SECONDS = 10.0
MODE, TOKENS = "RAY_AUTH_MODE", ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_START = "start one with `ray start --head`, or use --ray local"


def checked(address: str, environment: Mapping[str, str], again: Callable[[Mapping[str, str]], NoReturn]) -> str:
    """The address of a cluster that can be joined, as HOST:PORT; "local" stays as it is.

    Does not return where the cluster wants a token, and there is one: this process begins again.

    Args:
        address: as it was given.
        environment: of this process.
        again: begins it again, with that environment.

    Raises ClusterError.
    """
    if address == LOCAL:
        return address
    where = _resolved(address)
    named = where if address == "auto" else address  # Ray writes this machine's addresses in its own way
    host, _, port = where.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClusterError(f"no Ray cluster answers at {named} ({reason})", _START) from None
    if _wants_token(where):
        if MODE in environment or not (
            any(environment.get(name) for name in TOKENS) or (Path.home() / ".ray" / "auth_token").is_file()
        ):
            raise ClusterError(
                f"the Ray cluster at {named} wants a token, and has not got the right one",
                "copy ~/.ray/auth_token from the cluster's head node, and set RAY_AUTH_MODE=token",
            )
        again({**environment, MODE: "token"})
    return where


def _resolved(address: str) -> str:
    """An address as HOST:PORT; "auto" is that of the cluster this machine is part of."""
    from ray._private import services  # as `ray status` does

    try:
        found = services.canonicalize_bootstrap_address_or_die(address)
    except (ConnectionError, ValueError, OSError) as error:
        text = next(iter(str(error).splitlines()), "")[:200]
        said = "this machine is part of no Ray cluster" if address == "auto" else f"--ray {address}: {text}"
        raise ClusterError(said, _START) from None
    return str(found)


def _wants_token(where: str) -> bool:
    """Whether a cluster refuses whoever has no token, or another one."""
    import ray
    from ray import exceptions

    try:
        ray._raylet.GcsClient(address=where)
    except exceptions.AuthenticationError:
        return True
    return False
