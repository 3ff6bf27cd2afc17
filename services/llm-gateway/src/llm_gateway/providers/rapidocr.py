"""The provider `local/rapidocr`: reads screens without a key, in one worker process."""

from collections.abc import Mapping

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit
from llm_gateway.rapidocr_worker.reader import Reader
from llm_gateway.seeing import Picture, Reading

MODEL = "local/rapidocr"

# Measured at 1080p full of text: about 3 µs a pixel; the bound leaves room for a slow machine.
_MOST_US_PER_PIXEL = 20
_MOST_US_PER_CALL = 2_000_000


class RapidOcr:
    """Reads with the models in rapidocr's wheel."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def kinds(self) -> frozenset[Unit]:
        """CPU microseconds."""
        return frozenset({Unit.COMPUTE_US})

    def at_most(self, model: str, picture: Picture) -> Mapping[Unit, int]:  # noqa: ARG002 - there is only one
        """CPU microseconds by the pixels to be read."""
        return {Unit.COMPUTE_US: _MOST_US_PER_CALL + picture.pixels * _MOST_US_PER_PIXEL}

    async def see(
        self,
        model: str,  # noqa: ARG002 - there is only one
        picture: Picture,
        meter: Meter,
    ) -> Reading:
        """The lines; errors are those of `Reader.read`.

        A reading that was cut short cost what nobody measured: it stays unconfirmed at its
        reservation, unless it never began.
        """
        return Reading(await self._reader.read(picture.image, list(picture.regions), meter))
