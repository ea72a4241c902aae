"""How hypothesis runs here: the same examples each time, so that a failure is a failure for everyone.

`HYPOTHESIS_PROFILE=explore pytest tests/unit/http` looks for new ones.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, max_examples=150, database=None)
settings.register_profile("explore", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
