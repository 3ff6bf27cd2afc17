"""Pictures of screens, drawn for tests."""

import io

from PIL import Image, ImageDraw, ImageFont

SIZE = (1280, 720)


def screen(*lines: str, size: tuple[int, int] = SIZE, kind: str = "JPEG") -> bytes:
    """A light window with lines of dark text, as a file of a kind."""
    image = Image.new("RGB", size, (238, 240, 243))
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 40, size[0] - 60, size[1] - 40), fill=(255, 255, 255), outline=(120,) * 3)
    font = ImageFont.load_default(22)
    for number, line in enumerate(lines):
        draw.text((100, 80 + number * 48), line, fill=(25, 25, 30), font=font)
    packed = io.BytesIO()
    image.save(packed, kind, quality=80)
    return packed.getvalue()
