"""Bytes to text: encodings, line ends, compression, and the names of what is no text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakegpt.data.decoding import decode, normalize_newlines
from shakegpt.data.sources import load_text
from shakegpt.errors import ShakegptError

FRENCH = "À la fenêtre, l’été s’était déjà levé ; où êtes-vous ? Le cœur a ses raisons.\n" * 8
RUSSIAN = "Всё смешалось в доме Облонских. Жена узнала, что муж был в связи с другой.\n" * 8
CHINESE = "床前明月光，疑是地上霜。举头望明月，低头思故乡。\n" * 8


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("text", ["ROMEO:\nO, l’été!\n\nJULIET:\nSo be it.\n", RUSSIAN, "hi"])
def test_unicode_is_read_in_every_form(encoding: str, text: str) -> None:
    if encoding in ("utf-16-le", "utf-16-be") and len(text) < 10:
        pytest.skip("without a mark it takes more to be sure")
    assert decode(text.encode(encoding), "a.txt")[0] == text


LEGACY = {
    "quotes in English": ("cp1252", "“I don’t know,” she said — “that is all…”\n" * 5),
    "one apostrophe": (
        "cp1252",
        "The king spoke to the queen of it. " * 90 + "\nHe didn’t answer.\n",
    ),
    "a short line": ("cp1252", "café au lait"),
    "only a word": ("cp1252", "café"),
    "Swedish": ("cp1252", "Älvorna dansar på ängen vid ån. Räven gör så här. Åsa är trött.\n" * 4),
    "Icelandic": ("cp1252", "Það er þungt að bíða, þótt ég viti það. Hún ætlar að fara.\n" * 4),
    "French": ("cp1252", FRENCH),
    "French on a Mac": ("mac_roman", FRENCH),
    "Polish": (
        "cp1250",
        "Litwo! Ojczyzno moja! ty jesteś jak zdrowie; Ile cię trzeba cenić.\n" * 5,
    ),
    "Czech": ("iso8859_2", "Příliš žluťoučký kůň úpěl ďábelské ódy. Byl první máj.\n" * 5),
    "Polish of a play": ("cp1250", "Być albo nie być; oto jest pytanie. Żółta łódź.\n" * 3),
    "Czech again": ("cp1250", "Byl pozdní večer, první máj, večerní máj, byl lásky čas.\n" * 4),
    "Hungarian": ("cp1250", "Őszi éjjel izzik a galagonya ruhája. Tűz, fűző, hősök.\n" * 4),
    "Lithuanian": ("cp1257", "Visi žmonės gimsta laisvi ir lygūs. Šuo ėjo į čia, sąžinė.\n" * 4),
    "Spanish": ("cp1252", "¿Dónde está el señor? ¡Mañana será otro día!\n" * 4),
    "German of DOS": ("cp850", "Der König saß schön und träumte von größeren Häusern.\n" * 4),
    "German": ("cp1252", "„Wer reitet so spät?“ – Der König saß müde über dem Fluß.\n" * 4),
    "capitals": ("cp1252", "ÉTÉ À PARIS. “Ça”… «Noël», garçon\n"),
    "signs": ("cp1252", "The price was £5, or €6.50 — half of that ½.\n" * 4),
    "Thai": ("cp874", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์\n" * 4),
    "English with a Russian name": ("cp1251", "It is English mostly. Привет, мир! Как дела?\n" * 4),
    "Turkish": ("cp1254", "Bütün insanlar hür, akıl ve vicdana sahiptirler. Işığı gördü.\n" * 5),
    "Russian": ("cp1251", RUSSIAN),
    "Russian in KOI8": ("koi8_r", RUSSIAN),
    "Russian of DOS": ("cp866", RUSSIAN),
    "Greek": ("cp1253", "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι.\n" * 5),
    "Hebrew": ("cp1255", "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.\n" * 5),
    "Arabic": ("cp1256", "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.\n" * 5),
    "Japanese": ("cp932", "吾輩は猫である。名前はまだ無い。どこで生れたか見当がつかぬ。\n" * 5),
    "Japanese of few words": ("cp932", "吾輩は猫である。名前はまだ無い。\n" * 20),
    "Japanese of Unix": (
        "euc_jp",
        "吾輩は猫である。名前はまだ無い。どこで生れたか見当がつかぬ。\n" * 5,
    ),
    "Chinese": ("gb18030", CHINESE),
    "Chinese of Taiwan": ("big5", "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。\n" * 5),
    "Korean in one line": ("cp949", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에" * 1001),
    "Chinese in one line": ("big5", "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。" * 3001),
    "Korean": ("cp949", "모든 인간은 태어날 때부터 자유로우며 존엄과 권리에 있어 동등하다.\n" * 5),
}


@pytest.mark.parametrize("name", LEGACY)
def test_a_legacy_encoding_is_recognized_and_named(name: str, tmp_path: Path) -> None:
    encoding, content = LEGACY[name]
    path = tmp_path / "a.txt"
    path.write_bytes(content.encode(encoding))
    text = load_text([str(path)])
    assert text.content == content and "a.txt" in text.notes[0], "what was assumed is said"
    path.write_text(content, "utf-8")
    assert load_text([str(path)]).notes == (), "UTF-8 needs no word"


@pytest.mark.parametrize(
    "data",
    [
        FRENCH.encode()[:-1] + b"\xe9\n",  # one byte of another encoding in UTF-8
        "Où êtes-vous, l’été".encode()[:-1],  # cut inside a character
        FRENCH.encode() + b"ab\xed\xa0\x80",  # a surrogate
    ],
)
def test_damaged_utf8_is_refused_with_its_byte(data: bytes) -> None:
    with pytest.raises(ShakegptError, match=r"a\.txt.*byte [\d,]+"):
        decode(data, "a.txt")


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_text_or_a_sentence(data: bytes) -> None:
    try:
        text, _ = decode(data, "a.txt")
    except ShakegptError as error:
        assert "a.txt" in str(error) and "\n" not in str(error)
    else:
        normalize_newlines(text).encode()


@pytest.mark.parametrize("ends", ["\r\n", "\r", "\r\r\n", "\u2028", "mixed"])
def test_all_line_ends_are_one(ends: str, tmp_path: Path) -> None:
    content = "ROMEO:\nAy me.\n\nJULIET:\nWhat?\n"
    path = tmp_path / "a.txt"
    other = content.replace("\n", "\r\n", 2) if ends == "mixed" else content.replace("\n", ends)
    path.write_bytes(other.encode())
    text = load_text([str(path)])
    assert text.content == content and text.speakers == ("JULIET", "ROMEO")


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "application/epub+zip" if name == "mimetype" else "x")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    return file.getvalue()


NO_TEXT: dict[str, bytes] = {
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
    "a PDF": b"HTTP header\n%PDF-1.4\n",  # readers skip what is before it
    "Word": zipped("[Content_Types].xml", "word/document.xml"),
    "Excel": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "EPUB": zipped("mimetype", "META-INF/container.xml"),
    "ZIP": zipped("a.txt"),
    "Office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
    "RTF": b"{\\rtf1\\ansi Hello}",
    "PNG": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "7-Zip": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "Zstandard": b"\x28\xb5\x2f\xfd\x04\x00",
    "tar": tarred(),
    "MOBI": b"A_Book".ljust(60, b"\0") + b"BOOKMOBI",
    "binary": b"\x7fELF\x02\x01\x00\x00",
}


@pytest.mark.parametrize("kind", NO_TEXT)
@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
def test_what_is_no_text_is_named(
    kind: str, wrap: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(wrap(NO_TEXT[kind]))
    with pytest.raises(ShakegptError, match=kind) as refused:
        load_text([str(path)])
    assert "a.txt" in str(refused.value) and refused.value.exit_code == 2


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_texts_are_read(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.txt.z"
    path.write_bytes(compress(FRENCH.encode()))
    assert load_text([str(path)]).content == FRENCH
    path.write_bytes(compress(FRENCH.encode())[:-9])
    with pytest.raises(ShakegptError, match="damaged"):
        load_text([str(path)])
