"""Why a file can't become knowledge, in a sentence for a support manager.

Reasons: EMPTY_FILE, UNSUPPORTED_TYPE, UNDECODABLE_TEXT, TOO_LARGE, TOO_MUCH_TEXT, NO_TEXT,
ENCRYPTED_PDF, BROKEN_PDF, BROKEN_DOCX, BROKEN_CSV, TOO_MANY_PAGES, PARSE_TIMEOUT,
PARSE_OUT_OF_MEMORY, PARSE_CRASHED.
"""

SUPPORTED = "Markdown, HTML, plain text, PDF, Word (DOCX) and CSV with questions and answers"


class DocumentError(Exception):
    """Content that can't be used; trying again with the same bytes would not help.

    `reason` is an UPPER_SNAKE code, `message` says what is wrong and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message


def empty_file() -> DocumentError:
    """There is nothing in it."""
    return DocumentError("EMPTY_FILE", "The file is empty. Check the original and upload it again.")


def unsupported_type(what: str) -> DocumentError:
    """`what` names the type found, with its article."""
    return DocumentError(
        "UNSUPPORTED_TYPE", f"This is {what}, which can't be read. Supported are {SUPPORTED}."
    )


def no_text() -> DocumentError:
    """It was read, and there are no words in it."""
    return DocumentError(
        "NO_TEXT", "No text was found in this file. Check that the original has readable text."
    )


def too_much_text(char_count: int, limit: int) -> DocumentError:
    """The text is longer than one document may be."""
    return DocumentError(
        "TOO_MUCH_TEXT",
        f"The text has {char_count:,} characters; at most {limit:,} fit into one document. "
        "Split it into several files.",
    )
