"""Unicode folding: the table that brings every spelling of a character to one, applied to whole Arrow arrays.

RE2 can split text but cannot normalise it, and ICU (in TensorFlow) and utf8proc (in Arrow) lower-case differently. So
folding is two arrays of integers, made once from Python's `unicodedata`: FOLD maps each code point to its lower-case,
canonical form of one width, each digit to 0-9, and what is no text to a space or to nothing; PAIRS composes a character
and its mark, or Hangul jamo, into one character (Unicode Standard, section 3.11; Hangul, section 3.12). Both engines,
NumPy here and TensorFlow in the saved model (`training/layers.py`), apply the same integers and so cannot disagree.

Marks are composed in the order in which they stand. Any text in NFC or NFD thus comes out the same, except where a
mark of lower combining class that does not compose stands between a letter and a mark that does.
"""

import functools
import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Codes = npt.NDArray[np.int32]

SPACE = 0x20
DROP = -1
REPLACEMENT = 0xFFFD  # what decoders put for bytes that are no UTF-8; how many of them, they do not agree upon
LAST = 0x323AF  # end of the planes with assigned letters; what lies beyond (tags, private use) becomes a space
PASSES = 4  # no canonical decomposition is longer than four characters
SHIFT = 21  # bits of a code point

# Joiners, direction marks, soft hyphen, byte order mark and variation selectors carry no word of their own.
INVISIBLE = frozenset([0x00AD, 0x034F, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
                       *range(0x2060, 0x2070), *range(0xFE00, 0xFE10), 0xFEFF])  # fmt: skip
# Apostrophes as phones type them; "don't" must be one thing however it was keyed in.
APOSTROPHES = frozenset([0x2018, 0x2019, 0x02BC, 0x0060, 0x00B4])


class Folding(NamedTuple):
    """The integers of folding: `table` and `closes` [LAST + 2]; `keys`, sorted, and `composites`, one for each key."""

    table: Codes
    closes: npt.NDArray[np.bool_]  # may the character be the second of a pair
    keys: npt.NDArray[np.int64]
    composites: Codes


def fold_code(code: int) -> int:
    """The code point that stands for `code`: lower-case, one width, canonical; SPACE or DROP for what is no text."""
    if code in INVISIBLE:
        return DROP
    if code in APOSTROPHES:
        return ord("'")
    category = unicodedata.category(chr(code))
    if category[0] in "CZ" or code == REPLACEMENT:
        return SPACE
    if category == "Nd":  # a phone number is one, whichever digits of the world it is written in
        return ord("0") + unicodedata.decimal(chr(code))
    decomposition = unicodedata.decomposition(chr(code)).split()
    if len(decomposition) == 1:  # one character under two code points: the Angstrom sign, compatibility ideographs
        return fold_code(int(decomposition[0], 16))
    if decomposition and decomposition[0] in ("<wide>", "<narrow>") and len(decomposition) == 2:
        return fold_code(int(decomposition[1], 16))
    lower = chr(code).lower()
    return code if lower == chr(code) else fold_code(ord(lower[0]))


def _composition(code: int) -> tuple[int, int, int] | None:
    """(first, second, composite), folded, of a character that decomposes into two; None of any other."""
    decomposition = unicodedata.decomposition(chr(code)).split()
    if len(decomposition) != 2 or decomposition[0].startswith("<"):
        return None
    first, second = (int(part, 16) for part in decomposition)
    if unicodedata.combining(chr(first)):  # a mark that opens a pair would also close one
        return None
    return fold_code(first), fold_code(second), fold_code(code)


def _hangul() -> list[tuple[int, int, int]]:
    """All compositions of modern jamo: leading + vowel, and that syllable + trailing."""
    syllables = [(lead, vowel, 0xAC00 + (lead * 21 + vowel) * 28) for lead in range(19) for vowel in range(21)]
    return [(0x1100 + lead, 0x1161 + vowel, code) for lead, vowel, code in syllables] + [
        (code, 0x11A7 + tail, code + tail) for _, _, code in syllables for tail in range(1, 28)
    ]


@functools.cache
def folding() -> Folding:
    """The integers of folding, made from this Python's Unicode tables in a fraction of a second, once a process."""
    table = np.array([fold_code(code) for code in range(LAST + 1)] + [SPACE], np.int32)
    canonical = [triple for code in range(0xA0, LAST + 1) if (triple := _composition(code))]
    pairs = {(first << SHIFT) + second: composite for first, second, composite in canonical + _hangul()}
    keys = np.array(sorted(pairs), np.int64)
    closes = np.zeros(LAST + 2, np.bool_)
    closes[keys & ((1 << SHIFT) - 1)] = True
    return Folding(table, closes, keys, np.array([pairs[key] for key in keys.tolist()], np.int32))


def _compose(codes: Codes, rows: Codes, rules: Folding) -> tuple[Codes, Codes]:
    """Each pair that composes, inside one row, replaced by its composite; once over the text."""
    pairs = (codes[:-1].astype(np.int64) << SHIFT) + codes[1:]
    found = np.minimum(np.searchsorted(rules.keys, pairs), len(rules.keys) - 1)
    composes = (rules.keys[found] == pairs) & (rows[:-1] == rows[1:])
    composed = np.where(np.append(composes, False), np.append(rules.composites[found], 0), codes).astype(np.int32)
    kept = np.insert(~composes, 0, True)
    return composed[kept], rows[kept]


def _decode(texts: pa.StringArray) -> tuple[Codes, Codes]:
    """Code points of all texts, end to end, and the row of each."""
    start, stop = texts.offset, texts.offset + len(texts)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[start : stop + 1]
    octets = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    codes = np.frombuffer(octets.tobytes().decode().encode("utf-32-le"), np.int32)
    starts = np.append(0, np.cumsum((octets & 0xC0) != 0x80))  # characters before each byte
    lengths = np.diff(starts[offsets - offsets[0]])
    return codes, np.repeat(np.arange(len(texts), dtype=np.int32), lengths)


def _encode(codes: Codes, rows: Codes, num_rows: int) -> pa.StringArray:
    """Inverse of `_decode`."""
    octets = codes.astype("<u4").tobytes().decode("utf-32-le").encode()
    widths = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
    sizes = np.bincount(rows, weights=widths, minlength=num_rows).astype(np.int64)
    offsets = np.append(0, np.cumsum(sizes)).astype(np.int32)
    return pa.StringArray.from_buffers(num_rows, pa.py_buffer(offsets), pa.py_buffer(octets))


def fold(texts: pa.StringArray) -> pa.StringArray:
    """`texts` with one spelling for each character; null becomes the empty string.

    Raises UnicodeDecodeError on bytes that are not UTF-8: readers reject such rows before.
    """
    if len(texts) == 0:
        return texts
    rules = folding()
    codes, rows = _decode(texts.fill_null("") if texts.null_count else texts)
    codes = rules.table[np.minimum(codes, LAST + 1)]
    kept = codes != DROP
    if not kept.all():
        codes, rows = codes[kept], rows[kept]
    for _ in range(PASSES):
        if not rules.closes[codes].any():  # nearly all text: nothing to compose
            break
        codes, rows = _compose(codes, rows, rules)
    return _encode(codes, rows, len(texts))
