"""Sharing a screen in a headless browser, which has none: a canvas stands in for it."""

from playwright.async_api import Page

# `window.shown` is what the canvas says; `window.sharing` its track, to be ended by a test.
_CANVAS = """
window.shown = ["Office Printer", "Error E-2093"];
navigator.mediaDevices.getDisplayMedia = async (wanted) => {
  window.wanted = wanted;
  const canvas = document.createElement("canvas");
  canvas.width = 1280; canvas.height = 720;
  const context = canvas.getContext("2d");
  const draw = () => {
    context.fillStyle = "#fff"; context.fillRect(0, 0, 1280, 720);
    context.fillStyle = "#111"; context.font = "26px sans-serif";
    window.shown.forEach((line, n) => context.fillText(line, 100, 120 + n * 60));
  };
  draw(); setInterval(draw, 100);
  const stream = canvas.captureStream(10);
  window.sharing = stream.getVideoTracks()[0];
  return stream;
};
"""
_REFUSED = """
navigator.mediaDevices.getDisplayMedia = async () => {
  throw new DOMException("no", "NotAllowedError");
};
"""
_NONE = "delete MediaDevices.prototype.getDisplayMedia;"


async def with_screen(page: Page) -> None:
    """Lets pages share a canvas."""
    await page.add_init_script(_CANVAS)


async def with_refusal(page: Page) -> None:
    """The visitor closes the browser's question."""
    await page.add_init_script(_REFUSED)


async def without_screen(page: Page) -> None:
    """A phone: there is nothing to share a screen with."""
    await page.add_init_script(_NONE)
