"""Forms that were sent and came back with something to mend."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetkit.errors import FleetError

from gateway.views.format import sentence


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, and what is wrong with it: by field, or with the whole.

    A template reads what was typed as an attribute: `form.title`, "" when nothing was.
    """

    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    def __getitem__(self, name: str) -> str:
        """What was typed into a field; Jinja comes here for names that are no attributes."""
        return self.typed.get(name, "")

    def refused(self, error: FleetError, fields: tuple[str, ...]) -> "Form":
        """The form with an error at its field, if the form has that field."""
        if error.field in fields:
            return Form(self.typed, {str(error.field): sentence(error.message)})
        return Form(self.typed, problem=sentence(error.message))
