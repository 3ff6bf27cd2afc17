"""Reading a picture: checked, metered, on the ledger."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetkit.errors import FailedPrecondition, InvalidArgument
from PIL import Image

from llm_gateway.metering import Metering
from llm_gateway.seeing import Line, Picture, Region, SeeProvider

MAX_IMAGE_BYTES = 3_000_000
MAX_PIXELS = 4_200_000
MAX_REGIONS = 32


@dataclass(frozen=True, slots=True)
class Seen:
    """The lines of a picture, and the model that read them."""

    lines: Sequence[Line]
    model: str


async def see(
    metering: Metering,
    providers: Mapping[str, SeeProvider],
    tenant_id: UUID,
    image: bytes,
    regions: Sequence[Region],
    model: str,
) -> Seen:
    """Reads an image, or some regions of it.

    InvalidArgument names the field that is wrong; FailedPrecondition (PROVIDER_NOT_CONFIGURED) for
    a model that does not read here; the provider's errors pass.
    """
    provider_name, _, name = model.partition("/")
    provider = providers.get(provider_name)
    if provider is None:
        raise FailedPrecondition(
            f"{model} does not read pictures here; configured: {', '.join(sorted(providers))}",
            field="model",
            reason="PROVIDER_NOT_CONFIGURED",
        )
    picture = _checked(image, regions)
    at_most = provider.at_most(name, picture)
    async with metering.call(tenant_id, "see", model, at_most) as metered:
        lines = await provider.see(name, picture, metered.meter)
    return Seen(lines, model)


def _checked(image: bytes, regions: Sequence[Region]) -> Picture:
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
