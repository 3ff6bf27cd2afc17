"""Which worker runs which tests, and in what order."""

import pytest
from xdist.scheduler import LoadFileScheduling

# Whoever runs one of these has the fleet of `running_fleet` up: one worker runs them all. Erasure
# comes last: it leaves costs of conversations that are gone, while others compare all of them.
_ONE_FLEET = ("e2e/test_browser.py", "e2e/test_up.py", "e2e/test_kill.py", "e2e/test_erasure.py")
# Files that take longest, in that order: one begun last would keep the other workers waiting.
_LONG = (
    *_ONE_FLEET,
    "gateway/test_pages.py",
    "chaos/test_faults.py",
    "e2e/test_elsewhere.py",
    "gateway/test_surface_hostile.py",
    "gateway/test_access.py",
    "conversation/test_turns.py",
    "conversation/test_kill.py",
    "gateway/test_frames.py",
    "gateway/test_problems.py",
    "gateway/test_widgets.py",
    "gateway/test_widget.py",
    "retrieval/test_websites.py",
    "deploy/test_settings.py",
    "llm_gateway/test_erasure.py",
)
_PLACES = {name: place for place, name in enumerate(_LONG)}


class Files(LoadFileScheduling):
    """Gives a worker a file at a time, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "one fleet" if file.removeprefix("tests/") in _ONE_FLEET else file


def place(item: pytest.Item) -> int:
    """Where a test's file stands among all: what takes long first, the rest as collected."""
    file = item.nodeid.partition("::")[0].removeprefix("tests/")
    return _PLACES.get(file, len(_PLACES))
