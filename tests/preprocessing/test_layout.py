"""Widths that examples are padded to."""

from hypothesis import given
from hypothesis import strategies as st

from preprocessing.layout import BUCKETS, CLOSE, MANY, buckets_for

LENGTHS = st.dictionaries(st.integers(0, 600), st.integers(0, 2 * MANY))


def test_a_length_has_a_width_of_its_own_where_enough_examples_have_it() -> None:
    assert buckets_for(16, {}) == (4, 6, 8, 10, 12, 16)
    assert buckets_for(14, {5: MANY, 7: MANY - 1, 9: MANY, 14: MANY}) == (4, 5, 6, 8, 9, 10, 12, 14)
    assert buckets_for(48, {0: MANY, CLOSE - 1: MANY, CLOSE + 1: MANY}) == (4, 6, 8, 10, 12, 16, 20, 24, 31, 32, 48)


@given(st.integers(1, 600), LENGTHS)
def test_widths_ascend_to_the_longest_example(max_tokens: int, rows: dict[int, int]) -> None:
    widths = buckets_for(max_tokens, rows)
    assert list(widths) == sorted(set(widths)) and widths[-1] == max_tokens
    assert {width for width in BUCKETS if width < max_tokens} <= set(widths)
    for length, count in rows.items():
        if 0 < length <= min(CLOSE, max_tokens) and count >= MANY:
            assert length in widths
