"""What is accepted as a frame."""

import io

import pytest
from fleetkit.errors import InvalidArgument
from harness.drawing import screen
from PIL import Image
from vision_agent.frames.images import FrameLimits, check, to_gray

LIMITS = FrameLimits()


def packed(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    return file.getvalue()


class TestToGray:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_takes_the_formats_of_browsers(self, kind):
        assert to_gray(screen("hello", kind=kind), LIMITS).shape == (720, 1280)

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "empty"),
            (b"no picture", "not a readable"),
            (b"GIF89a" + b"\0" * 40, "not a readable"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a readable"),
            (b"\xff" * 3_000_001, "3000001 bytes"),
            (packed((32, 400)), "32×400"),
            (packed((4_200, 100)), "4200×100"),
            (packed((4_000, 4_000)), "16000000 pixels"),
            (screen("cut")[:2_000], "damaged"),
        ],
        ids=["empty", "text", "gif", "svg", "bytes", "narrow", "wide", "pixels", "cut"],
    )
    def test_says_what_is_wrong(self, data, words):
        with pytest.raises(InvalidArgument, match=words) as raised:
            to_gray(data, LIMITS)
        assert raised.value.field == "image"

    def test_a_bomb_is_refused_by_its_header(self):
        with pytest.raises(InvalidArgument):
            check(_claiming(60_000, 60_000), LIMITS)

    def test_an_animation_is_refused(self):
        frames = [Image.new("RGB", (100, 100), color) for color in ("red", "blue")]
        file = io.BytesIO()
        frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
        with pytest.raises(InvalidArgument, match="animated"):
            check(file.getvalue(), LIMITS)


def _claiming(width: int, height: int) -> bytes:
    """A small PNG whose header claims to be large."""
    data = bytearray(packed((100, 100)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data)
