"""The one error of the local runner."""


class LocalError(Exception):
    """Something a person must put right; the message is one sentence that says what to do."""
