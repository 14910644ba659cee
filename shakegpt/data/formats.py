"""Formats without plain text, recognized by their first bytes, and the way from each to a text."""

from __future__ import annotations

import io
import zipfile

from shakegpt.errors import ShakegptError

_PANDOC = "convert it to plain text first, for example with `pandoc -t plain`"
_UNPACK = "unpack it and give the files or the directory"
_WRITTEN = "save it as plain text from the program it was written with"
_PICTURE = "give a text, not a picture of one"
_FORMATS = (
    (0, b"%PDF-", "a PDF", "extract its text first, for example with `pdftotext`"),
    (0, b"{\\rtf", "an RTF document", _WRITTEN),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", _WRITTEN),
    (60, b"BOOKMOBI", "a MOBI e-book", "convert it to plain text first, for example with Calibre"),
    (0, b"\x89PNG", "a PNG image", _PICTURE),
    (0, b"\xff\xd8\xff", "a JPEG image", _PICTURE),
    (0, b"GIF8", "a GIF image", _PICTURE),
    (8, b"WEBP", "a WebP image", _PICTURE),
    (0, b"II*\0", "a TIFF image", _PICTURE),
    (0, b"MM\0*", "a TIFF image", _PICTURE),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed by Zstandard", "unpack it first, with `unzstd`"),
    (0, b"SQLite format 3\0", "a SQLite database", "export the text as CSV and give that"),
    (0, b"PAR1", "a Parquet file", "give it a name that ends in .parquet"),
)
_ZIPPED = (
    ("word/", "a Word document", _PANDOC),
    ("xl/", "an Excel workbook", "save the sheet as CSV and give that"),
    ("ppt/", "a PowerPoint presentation", _WRITTEN),
    ("META-INF/container.xml", "an EPUB e-book", _PANDOC),
    ("content.xml", "an OpenDocument file", _PANDOC),
)


def refuse_format(data: bytes, name: str) -> None:
    """Raise ShakegptError, with the way to plain text, for data in a format that is not text."""
    if not data.startswith(b"%PDF-") and b"\n%PDF-" in data[:1024]:  # readers skip what is before
        data = data[data.index(b"%PDF-") :]
    for start, magic, what, way_out in _FORMATS:
        if data.startswith(magic, start):
            raise ShakegptError(f"{name} is {what}: {way_out}")
    if data.startswith(b"PK\x03\x04"):
        try:
            inside = zipfile.ZipFile(io.BytesIO(data)).namelist()
        except (zipfile.BadZipFile, OSError, ValueError):  # cut short: names are near its start
            inside = [data[:2000].decode("latin-1")]
        for part, what, way_out in _ZIPPED:
            if any(entry.startswith(part) for entry in inside):
                raise ShakegptError(f"{name} is {what}: {way_out}")
        raise ShakegptError(f"{name} is a ZIP archive: {_UNPACK}")
