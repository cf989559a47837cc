"""Connections: to which addresses, and within how much time. All that leaves the machine goes through here, but for
what is sent to servers that the user names (runners/remote.py).

    addresses     which addresses are of the open network, by IANA's registries
    open_network  connections to these and to no others, within one span of time

Knows no HTTP, no pictures and no models.
"""
