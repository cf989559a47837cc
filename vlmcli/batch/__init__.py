"""Many pictures: their order, equal ones, what was done before, and files beside them.

Without a terminal and without options, so that every kind of driver can use it. Runners arrive as arguments.
"""
