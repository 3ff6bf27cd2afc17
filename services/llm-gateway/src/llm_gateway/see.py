"""Reading a picture: checked, metered, on the ledger."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetkit.clock import Clock
from fleetkit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from fleetkit.logging import get_logger
from PIL import Image

from llm_gateway.metering import Metering
from llm_gateway.models import Own, paying
from llm_gateway.pricing import PriceBook
from llm_gateway.seeing import Content, Picture, Reading, Region, SeeProvider
from llm_gateway.tenant_keys import TenantKeys

MAX_IMAGE_BYTES = 3_000_000
MAX_PIXELS = 4_200_000
MAX_REGIONS = 32


# Below this the local reader has guessed; a clean screen is read at 0.9 and above.
_LEAST_CONFIDENCE = 0.8
_NEEDS_SIGHT = (Content.CODE_TEXT, Content.DOCUMENTATION)
_ERROR = re.compile(
    r"\b(?:error|exception|traceback|failed|failure|fatal|panic|denied|0x[0-9a-f]{4,}|E\d{2,5})\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers of pictures by provider, the model that reads by default, and one that sees.

    `sight` is "" where none does.
    """

    providers: Mapping[str, SeeProvider]
    book: PriceBook
    clock: Clock
    keys: TenantKeys
    default_model: str
    sight: str = ""

    def of(self, name: str, own: Own) -> SeeProvider:
        """The reader of "provider/model", a tenant's `own` where it has one.

        FailedPrecondition for one that is not configured (PROVIDER_NOT_CONFIGURED), has no price
        (UNPRICED_MODEL) or reads no pictures.
        """
        provider_name = name.partition("/")[0]
        keyed = own.get(provider_name)
        provider = keyed.once if keyed else self.providers.get(provider_name)
        if provider is None:
            raise FailedPrecondition(
                f"{name} does not read pictures here; configured: "
                f"{', '.join(sorted(self.providers))}",
                field="model",
                reason="PROVIDER_NOT_CONFIGURED",
            )
        self.book.period(name, self.clock.now(), provider.kinds)
        priced = self.book.models[name]
        if priced.serves != "see" and not priced.facts.has("images"):
            raise FailedPrecondition(
                f"{name} takes no pictures", field="model", reason="PROVIDER_NOT_CONFIGURED"
            )
        return provider


@dataclass(frozen=True, slots=True)
class Seen:
    """What a picture says, the model that read it, and why it was that one."""

    reading: Reading
    model: str
    reason: str


async def see(
    metering: Metering,
    readers: Readers,
    tenant_id: UUID,
    picture: Picture,
    content: Content,
    model: str,
) -> Seen:
    """Reads a picture by the model named, or by one that its content calls for.

    The errors of `Readers.of`, and the provider's. Where a model that sees fails, what the local
    reader read stands.
    """
    if model:
        return Seen(await _read(metering, readers, tenant_id, picture, model), model, "requested")
    default = readers.default_model
    if readers.sight and content in _NEEDS_SIGHT:
        seen = await _by_sight(metering, readers, tenant_id, picture, "content")
        if seen is not None:
            return seen
        reading = await _read(metering, readers, tenant_id, picture, default)
        return Seen(reading, default, "model_failed")
    reading = await _read(metering, readers, tenant_id, picture, default)
    doubt = _doubt(reading) if readers.sight else ""
    if not doubt:
        return Seen(reading, default, "default")
    seen = await _by_sight(metering, readers, tenant_id, picture, doubt)
    return seen or Seen(reading, default, "model_failed")


async def _by_sight(
    metering: Metering, readers: Readers, tenant_id: UUID, picture: Picture, reason: str
) -> Seen | None:
    """What the model that sees reads; None when it fails, which is told in the log."""
    try:
        reading = await _read(metering, readers, tenant_id, picture, readers.sight)
    except (Unavailable, ResourceExhausted, DeadlineExceeded, FailedPrecondition) as error:
        get_logger().warning("sight_failed", model=readers.sight, reason=error.reason)
        return None
    return Seen(reading, readers.sight, reason)


async def _read(
    metering: Metering, readers: Readers, tenant_id: UUID, picture: Picture, name: str
) -> Reading:
    own = await readers.keys.of(tenant_id)
    provider, model = readers.of(name, own), name.partition("/")[2]
    at_most = provider.at_most(model, picture)
    async with metering.call(tenant_id, "see", name, at_most, paying(name, own)) as metered:
        return await provider.see(model, picture, metered.meter)


def _doubt(reading: Reading) -> str:
    """Why a first reading should not stand; "" when it may."""
    letters = sum(len(line.text) for line in reading.lines)
    if not letters:
        return ""
    sure = sum(line.confidence * len(line.text) for line in reading.lines) / letters
    if sure < _LEAST_CONFIDENCE:
        return "low_confidence"
    return "error_shown" if any(_ERROR.search(line.text) for line in reading.lines) else ""


def checked_picture(image: bytes, regions: Sequence[Region]) -> Picture:
    """The picture with its size; InvalidArgument names the field that is wrong."""
    if not 1 <= len(image) <= MAX_IMAGE_BYTES:
        raise _wrong("image", f"image has {len(image)} bytes; send 1 to {MAX_IMAGE_BYTES}")
    if len(regions) > MAX_REGIONS:
        raise _wrong("regions", f"regions has {len(regions)} items; the most is {MAX_REGIONS}")
    try:
        with warnings.catch_warnings():
            # Our own limit is lower than the one that Pillow warns of.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(image), formats=("JPEG", "PNG", "WEBP")) as header:
                width, height = header.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _wrong("image", "image is not a readable JPEG, PNG or WebP") from error
    if width * height > MAX_PIXELS:
        raise _wrong("image", f"image has {width * height} pixels; the most is {MAX_PIXELS}")
    for index, box in enumerate(regions):
        inside = box.x >= 0 and box.y >= 0 and box.width >= 1 and box.height >= 1
        if not inside or box.x + box.width > width or box.y + box.height > height:
            raise _wrong(
                f"regions[{index}]", f"regions[{index}] is not within the {width}×{height} image"
            )
    return Picture(image, width, height, tuple(regions))


def _wrong(field: str, message: str) -> InvalidArgument:
    return InvalidArgument(message, field=field)
