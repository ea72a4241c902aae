"""How hypothesis runs here: the same examples each time, so that a failure is a failure for everyone.

`HYPOTHESIS_PROFILE=explore pytest tests/unit/http` looks for new ones.
"""

from __future__ import annotations

import contextlib
import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, max_examples=150, database=None)
settings.register_profile("explore", deadline=None, max_examples=5000)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "same")
settings.load_profile(PROFILE)

if PROFILE == "same":
    # It also tries constants of whatever modules of ours are imported by then: others, after other tests in this
    # process. There is no setting for that; this leaves their collection empty. (Older versions have none.)
    with contextlib.suppress(ImportError):
        from hypothesis.internal.conjecture import providers
        from hypothesis.internal.conjecture.providers import _get_local_constants, _local_constants  # noqa: F401

        providers._get_local_constants = lambda: _local_constants
