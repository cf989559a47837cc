"""`python -m vlmcli` is `vlm`."""

import sys

from vlmcli.cli.app import main

sys.exit(main())
