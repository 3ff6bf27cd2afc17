"""Bytes to text: UTF-8 first, then what charset-normalizer recognises."""

from charset_normalizer import from_bytes

from retrieval.parsing.errors import DocumentError

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# Encodings that people's files really have; rarer ones mostly match noise.
_CANDIDATES = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "iso8859_2", "mac_roman",
]  # fmt: skip
_SAMPLE_BYTES = 262_144
_MAX_DAMAGE = 0.001


def decode(content: bytes) -> str | None:
    """The text; None when it is not text at all.

    UTF-8 with very few damaged bytes keeps the rest (U+FFFD marks the damage). Raises
    UNDECODABLE_TEXT when it looks like text in an encoding that can't be told.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return _by_mark(content, encoding)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _guess(content, error.start)


def _by_mark(content: bytes, encoding: str) -> str:
    text = content.decode(encoding, errors="replace")
    if text.count("\ufffd") > max(2, len(text) * _MAX_DAMAGE):
        raise _undecodable(0)
    return text


def _guess(content: bytes, bad_byte: int) -> str | None:
    lenient = content.decode("utf-8", errors="replace")
    damaged = lenient.count("\ufffd")
    multibyte = sum(char > "\x7f" for char in lenient[:_SAMPLE_BYTES]) - damaged
    if damaged <= max(2, len(lenient) * _MAX_DAMAGE) and (multibyte > damaged * 3):
        return lenient
    best = from_bytes(
        content[:_SAMPLE_BYTES], cp_isolation=_CANDIDATES, threshold=0.15, enable_fallback=False
    ).best()
    if best is not None:
        return content.decode(best.encoding, errors="replace")
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in content[:_SAMPLE_BYTES])
    if printable >= 0.7 * min(len(content), _SAMPLE_BYTES):
        raise _undecodable(bad_byte)
    return None


def _undecodable(bad_byte: int) -> DocumentError:
    return DocumentError(
        "UNDECODABLE_TEXT",
        f"The text is not valid UTF-8 (first at byte {bad_byte + 1:,}) and its encoding could not "
        "be recognised. Save it as UTF-8 and upload it again.",
    )
