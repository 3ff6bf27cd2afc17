"""Why an address could not be fetched, in a sentence for a support manager.

Reasons: URL_INVALID, URL_FORBIDDEN, HOST_UNKNOWN, UNREACHABLE, TLS_FAILED, BROKEN_ANSWER,
FETCH_TIMEOUT, TOO_LARGE, TOO_MANY_REDIRECTS.
"""


class FetchError(Exception):
    """An address that gave nothing; `message` says what is wrong and what to do.

    `reason` is an UPPER_SNAKE code. `passing` says whether trying again later may help.
    """

    def __init__(self, reason: str, message: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message
        self.passing = passing


def forbidden() -> FetchError:
    """The address is inside of a network, or is no address of the public internet."""
    return FetchError(
        "URL_FORBIDDEN",
        "This address is not on the public internet, so it is not fetched. Use the address at "
        "which everybody can open the page.",
    )


def invalid(why: str) -> FetchError:
    """`why` is a sentence's end: "it names no host"."""
    return FetchError(
        "URL_INVALID", f"This is no address of a web page: {why}. Copy it from the browser."
    )
