"""Text carets."""

from vision_agent.frames.parts import Part

# In pixels of the frame as it was sent; a block covers a letter, as terminals have it.
_WIDTH = 3
_HEIGHTS = (8, 48)
_FILL = 0.8
_BLOCK_HEIGHT = 15
_BLOCK_WIDTHS = (7, 16)
_BLOCK_WIDTH = 0.75
_BLOCK_FILL = 0.9


def is_caret(part: Part) -> bool:
    """Whether the part is a bar or a block as carets are."""
    box = part.box
    if not _HEIGHTS[0] <= box.height <= _HEIGHTS[1]:
        return False
    if box.width <= _WIDTH:
        return part.fill >= _FILL
    if box.height < _BLOCK_HEIGHT:
        return False
    block = _BLOCK_WIDTHS[0] <= box.width <= min(_BLOCK_WIDTHS[1], _BLOCK_WIDTH * box.height)
    return block and part.fill >= _BLOCK_FILL
