"""Ways to spoil a model file, as `mutants.read` gives it: each is a function that changes one."""

from vlmcli.bench import mutants


def key(name, value, kind=None):
    def change(file):
        found = file.key(name)
        found.value, found.kind, found.array = value, found.kind if kind is None else kind, isinstance(value, list)

    return change


def no_key(name):
    return lambda file: file.keys.remove(next(one for one in file.keys if one[0] == name.encode()))


def no_weight(name):
    return lambda file: file.weights.remove(file.weight(name))


def shape(name, *lengths):
    def change(file):
        found = file.weight(name)
        size = mutants.BYTES[found.kind]
        for length in lengths:
            size *= length
        found.shape, found.data = list(lengths), (found.data * (size // len(found.data) + 1))[:size]

    return change


def retyped(name, kind):
    """F16, 1, BF16, 30, or I32, 26; bytes to match."""

    def change(file):
        found = file.weight(name)
        size = {1: 2, 30: 2, 26: 4}[kind]
        for length in found.shape:
            size *= length
        found.kind, found.data = kind, bytes(size)

    return change


def also(name, value):
    return lambda file: file.keys.append((name.encode(), value))
