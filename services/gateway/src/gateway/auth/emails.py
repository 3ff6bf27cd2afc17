"""E-mail addresses as people are known by."""

from email_validator import EmailNotValidError, validate_email
from fleetkit.errors import InvalidArgument


def normalized_email(address: str) -> str:
    """The address in the one form it is kept in; InvalidArgument when it is none.

    Case does not tell people apart: no provider of note has two mailboxes that differ in it.
    """
    try:
        checked = validate_email(address.strip(), check_deliverability=False)
    except EmailNotValidError as error:
        raise InvalidArgument(
            f"this is not an e-mail address that can be used: {error}",
            field="email",
            reason="EMAIL_INVALID",
        ) from error
    return checked.normalized.lower()
