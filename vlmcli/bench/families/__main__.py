"""Write the families' small pairs: `python -m vlmcli.bench.families FOLDER [NAME …]`."""

import argparse
from pathlib import Path

from vlmcli.bench import families


def main() -> None:
    """Write them as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.families", description=__doc__.split(":")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="pairs; all without one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in families.PAIRS]
    if unknown:
        parser.error(f"{unknown[0]}: no such pair (there are {', '.join(families.PAIRS)})")
    families.write(options.folder, options.names, options.seed)


if __name__ == "__main__":
    main()
