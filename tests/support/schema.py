"""The schema of what `--json` writes, out of its page in the docs."""

import json
import re

from tests.support import ROOT

PAGE = (ROOT / "docs" / "json.md").read_text("utf-8")
SCHEMA = json.loads(re.search(r"```json schema\n(.*?)```", PAGE, re.DOTALL)[1])
