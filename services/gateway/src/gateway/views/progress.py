"""How far work is: in figures for the eye, in quarters for the ear."""

from dataclasses import dataclass

from gateway.views.format import count

_QUARTERS = ("It has begun.", "A quarter is done.", "Half is done.", "Three quarters are done.")


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of work: so many are done, `of` so many as are known by now."""

    label: str
    done: int
    of: int
    noun: str

    @property
    def text(self) -> str:
        """It in words."""
        return f"{self.done:,} of {count(self.of, self.noun)}"


@dataclass(frozen=True, slots=True)
class Progress:
    """Work by its steps; `spoken` changes seldom, for whoever has it read aloud."""

    steps: tuple[Step, ...]
    is_busy: bool
    spoken: str


def progress_of(steps: tuple[Step, ...], *, is_busy: bool, ended: str, busy: str = "") -> Progress:
    """The steps; while they last `busy` is told, or the quarters of the first one; then `ended`."""
    under_way = busy or quarter(steps[0].done, steps[0].of)
    return Progress(steps, is_busy, under_way if is_busy else ended)


def quarter(done: int, of: int) -> str:
    """How many quarters are done, in words."""
    return _QUARTERS[min(4 * done // of, 3) if of else 0]
