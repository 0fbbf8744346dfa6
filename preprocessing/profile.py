"""profile.json: what the dataset is made of, for people."""

from typing import Any

from preprocessing import storage
from preprocessing.census import Census
from preprocessing.layout import SplitDescription


def profile(census: Census, splits: dict[str, SplitDescription], num_words: int) -> dict[str, Any]:
    """Rows by fate, and for each split its examples by intent, tokens by length and share of unknown words."""
    return {
        "rows_in": census.rows_in,
        "context_only": census.context_only,
        "rejected": dict(census.rejected.most_common()),
        "vocabulary_size": num_words,
        "splits": {
            split: {
                "examples": census.examples[split].total(),
                "tokens": description.tokens,
                "unknown_fraction": round(description.unknown / max(description.tokens, 1), 6),
                "intents": dict(census.examples[split].most_common()),
                "lengths": {str(length): rows for length, rows in sorted(description.by_length().items())},
            }
            for split, description in splits.items()
        },
    }


def write_profile(uri: str, census: Census, splits: dict[str, SplitDescription], num_words: int) -> None:
    """Writes the dataset's profile.json."""
    storage.write_json(f"{uri}/profile.json", profile(census, splits, num_words))
