"""Bytes to text: compression, encodings, line ends, and errors for formats without text.

UTF-16 and UTF-32 are recognized by their byte order mark, then UTF-8 is tried. Other bytes are
decoded in the legacy encoding in which charset-normalizer finds the fewest anomalies. It cannot
tell those of Europe's Latin alphabets apart; of these the first one, from Windows-1252 on, is used
in which the letters are those of one language.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections import Counter
from contextlib import suppress
from typing import BinaryIO, cast

from shakegpt.data.formats import refuse_format
from shakegpt.errors import ShakegptError

UTF8 = "UTF-8"
_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_COMPRESSED = (
    (b"\x1f\x8b\x08", "gzip", gzip.open),
    (b"\xfd7zXZ\0", "xz", lzma.open),
    (b"BZh", "bzip2", bz2.open),
)
_WESTERN = ("cp1252", "cp1250", "iso8859_2", "cp1254", "cp1257", "mac_roman", "cp850")
_JAPANESE = ("cp932", "euc_jp")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
"""Only full-width ones: in Shift JIS, bytes of other encodings are half-width ones."""
_CJK = ("cp932", "euc_jp", "gb18030", "big5", "cp949")
_OTHER = ("cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256", "cp874", *_CJK)
_NAMES = {
    "cp850": "DOS code page 850",
    "cp866": "DOS code page 866",
    "cp874": "Windows-874",
    "cp932": "Shift JIS",
    "cp949": "Korean (Windows-949)",
    "koi8_r": "KOI8-R",
    "mac_roman": "Mac Roman",
    "iso8859_2": "ISO 8859-2",
    "euc_jp": "EUC-JP",
    "gb18030": "GB 18030",
    "big5": "Big5",
}
_ALPHABETS = (  # beyond ASCII, of the languages that _WESTERN encodes
    *("àâçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "áàâãçéêíóôõú", "àçèéìíïîòóùúü", "åäöæøéü"),
    *("áéëíïóöü", "áðéíóúýþæö", "äõöüšž", "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž"),
    *("áéíóöőúüű", "čćđšž", "ăâîșțşţ", "âçğıîöşûü\u0307", "ąčęėįšųūž", "āčēģīķļņšūž"),
)
_PUNCTUATION = "“”„‘’‚…–—«»‹›•·¿¡°§€£©®™ºª½¼¾\xa0"
_MARK_IN_WORD = re.compile(r"[^\W\d_][“”„«»…][^\W\d_]")
_HIGH = re.compile(rb"[\x80-\xff]+")
_ASCII_LETTER = re.compile(rb"[A-Za-z]")
_SAMPLE = 1 << 16
"""Bytes of non-ASCII lines from which an encoding is recognized."""
_LONGEST_LINE = 1 << 12


def decode(data: bytes, name: str) -> tuple[str, str]:
    """The text in `data`, and the name of its encoding.

    Raises ShakegptError, with `name`, for other formats, binary data, and damaged text.
    """
    refuse_format(data, name)
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            data = data[len(mark) :] if encoding == UTF8 else data
            return _decode_strictly(data, encoding, name, skipped=len(mark)), encoding
    if (zero := data.find(b"\0")) >= 0:
        if (utf16 := _utf16_without_mark(data)) is None:
            raise ShakegptError(
                f"{name} is binary (its byte {zero:,} is zero): give plain text, in UTF-8 if you "
                "can choose"
            )
        return _decode_strictly(data, utf16, name), "UTF-16"
    with suppress(UnicodeDecodeError):  # as bytes: a character may take four times the memory
        return data.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").decode("utf-8"), UTF8
    sample = _sample(data)
    invalid = sum("\udc80" <= c <= "\udcff" for c in sample.decode("utf-8", "surrogateescape"))
    valid = sum(char > "\x7f" for char in sample.decode("utf-8", "ignore"))
    if valid >= max(1, invalid):  # damaged UTF-8: other encodings are hardly ever valid in it
        return _decode_strictly(data, UTF8, name), UTF8
    encoding = _legacy_encoding(sample)
    label = _NAMES.get(encoding, encoding.replace("cp", "Windows-"))
    return _decode_strictly(data, encoding, name, label), label


def normalize_newlines(text: str) -> str:
    """`text` with line feeds instead of CR LF, CR and Unicode's separators."""
    if "\r" in text:
        text = text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")
    if "\u2028" in text or "\u2029" in text:
        text = text.replace("\u2028", "\n").replace("\u2029", "\n\n")
    return text


def decompress(data: bytes, name: str) -> bytes:
    """`data`, decompressed if it is gzip, xz or bzip2; cut short where the content is binary.

    Raises ShakegptError when it cannot be decompressed.
    """
    for magic, kind, opener in _COMPRESSED:
        if data.startswith(magic):
            try:
                with cast("BinaryIO", opener(io.BytesIO(data))) as stream:
                    return read_text_bytes(stream)
            except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                raise ShakegptError(
                    f"{name} is damaged or incomplete ({kind}): {error}; copy or download it again"
                ) from None
    return data


def read_text_bytes(stream: BinaryIO) -> bytes:
    """All bytes of a text stream; only the first ones of a binary stream, which may be endless."""
    pieces = [stream.read(1 << 20)]
    unmarked = not any(pieces[0].startswith(mark) for mark, _ in _MARKS)
    unmarked = unmarked and _utf16_without_mark(pieces[0]) is None
    while pieces[-1] and not (unmarked and b"\0" in pieces[-1]):
        pieces.append(stream.read(1 << 20))
    return b"".join(pieces)


def _decode_strictly(
    data: bytes, encoding: str, name: str, label: str = "", skipped: int = 0
) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        offset = skipped * (encoding == UTF8) + error.start
        raise ShakegptError(
            f"{name} is not valid {label or encoding}: byte {offset:,} is "
            f"0x{data[error.start]:02x}; it was cut short, or joined from files in several "
            "encodings: save it as UTF-8 again"
        ) from None


def _utf16_without_mark(data: bytes) -> str | None:
    """Python's name of UTF-16 in its byte order if `data` begins like it; else None.

    The upper bytes of a text in most scripts are nearly all the same.
    """
    head = data[:_SAMPLE]
    if len(head) < 16 or (len(data) <= _SAMPLE and len(data) % 2):
        return None
    for encoding, upper in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if Counter(upper).most_common(1)[0][1] >= 0.5 * len(upper):
            text = head[: len(head) // 2 * 2].decode(encoding, "replace")
            plain = sum(char.isprintable() or char.isspace() for char in text)
            if "\0" not in text and "\ufffd" not in text and plain > 0.99 * len(text):
                return encoding
    return None


def _sample(data: bytes) -> bytes:
    """The first non-ASCII lines, about `_SAMPLE` bytes."""
    lines, end, length = list[bytes](), 0, 0
    for match in _HIGH.finditer(data):
        if match.start() >= end:
            start = max(end, data.rfind(b"\n", 0, match.start()) + 1, match.start() - _LONGEST_LINE)
            end = data.find(b"\n", match.end(), match.end() + _LONGEST_LINE) + 1
            end = end or match.end() + _LONGEST_LINE
            lines.append(data[start:end])
            length += end - start
        if length >= _SAMPLE:
            break
    sample = b"".join(lines)
    if end >= len(data) or sample.endswith(b"\n"):
        return sample
    # it ends within a long line, perhaps within a character
    cut = max(range(4), key=lambda cut: sum(_decodes(sample[: len(sample) - cut], e) for e in _CJK))
    return sample[: len(sample) - cut]


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _legacy_encoding(sample: bytes) -> str:
    """Python's name of the legacy encoding that `sample`, not UTF-8, is most likely in."""
    from charset_normalizer import from_bytes

    runs = [len(run) for run in _HIGH.findall(sample)]
    in_words = sum(run for run in runs if run > 4) / sum(runs)
    share = sum(runs) / (sum(runs) + len(_ASCII_LETTER.findall(sample)))
    for encoding in _JAPANESE:
        with suppress(UnicodeDecodeError):
            if len(_KANA.findall(text := sample.decode(encoding))) >= 0.2 * len(text):
                return encoding
    # words of Latin letters have few non-ASCII bytes, Russian and Chinese ones no ASCII bytes
    western = in_words <= 0.3 and share <= 0.5
    candidates = _WESTERN if western else _OTHER
    matches = list(from_bytes(sample, cp_isolation=list(candidates), threshold=0.5))
    if not matches:
        return "cp1252"
    best = matches[0]
    if western:
        clean = [match for match in matches if match.chaos <= matches[0].chaos + 0.2]
        possible = {encoding for match in clean for encoding in match.could_be_from_charset}
        ordered = [encoding for encoding in _WESTERN if encoding in possible]
        return max(ordered, key=lambda encoding: _in_one_alphabet(sample.decode(encoding)))
    best = min(matches, key=lambda m: (m.chaos, m.encoding not in _CJK, -m.coherence))
    cleanest = {match.encoding for match in matches if match.chaos == best.chaos}
    if "cp1255" in cleanest and not re.search(
        "[ьыэюяђјљњћџіїў]", sample.decode("cp1251", "ignore")
    ):
        return "cp1255"  # the bytes of Hebrew letters are only some of Cyrillic's
    return best.encoding


def _in_one_alphabet(text: str) -> float:
    """Share of the non-ASCII characters that are punctuation or of one language's alphabet."""
    counts = Counter(char for char in text.lower() if char > "\x7f")
    inside_words = len(_MARK_IN_WORD.findall(text))
    marks = sum(counts[char] for char in _PUNCTUATION) - inside_words
    letters = max(sum(counts[char] for char in alphabet) for alphabet in _ALPHABETS)
    return (marks + letters) / max(1, counts.total())
