"""make bench-preprocess: a generated corpus preprocessed by Parley, by Spark SQL's functions, by one Python process.

All read the same gzipped JSON lines on local[2] (Python: one process), replace addresses and numbers, tokenise, split
by dialog, count words, intents and texts in two splits, and write padded ids to Parquet in the order of a hash. Parley
does more: Unicode folding as the model does it, checks, rejected rows, profile, checksums. Seconds are those after
Spark has started; memory is the most that the processes held at once.
"""

import argparse
import gzip
import json
import re
import shutil
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq
from corpus import CORES, HOME, generate, job
from memory import Memory
from pyspark import StorageLevel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

SHARE, MAX_TOKENS = 10, 24  # the Python process does one file in SHARE, its cost being linear
WORD = r"<[a-z]+>|[\p{L}\p{M}]+|\p{N}+|[^\s]"
ENTITIES = {"<url>": r"https?://\S+|www\.\S+", "<email>": r"[\w.+-]+@[\w.-]+", "<number>": r"\+?\d(?:[ .-]?\d){4,}"}


def parley(rows: int) -> float:
    """Seconds of jobs.preprocess: all steps, read to manifest, with profile, leaks and rejected rows."""
    found = re.search(
        r"wrote .* \((\d+) s, fingerprint", job("preprocess", rows, {"dataset.path": HOME / f"dataset-{rows}"})
    )
    assert found
    return float(found[1])


def spark_sql(rows: int) -> float:
    """Seconds of tokenising, counting, encoding and writing with Spark SQL's functions alone."""
    spark = SparkSession.builder.master(f"local[{CORES}]").config("spark.driver.memory", "2g").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    began = time.monotonic()
    turns = spark.read.json(str(HOME / f"corpus-{rows}")).where("intent is not null and text is not null")
    text = F.lower("text")
    for name, pattern in ENTITIES.items():
        text = F.regexp_replace(text, pattern, f" {name} ")
    tokens = F.slice(F.regexp_extract_all(text, F.lit(WORD), F.lit(0)), 1, MAX_TOKENS)
    place = F.pmod(F.xxhash64("dialog_id"), F.lit(10))
    split = F.when(place == 0, "test").when(place == 1, "validation").otherwise("train").alias("split")
    row = F.xxhash64("dialog_id", "turn").alias("row")
    examples = turns.select(row, split, "intent", tokens.alias("tokens")).persist(StorageLevel.DISK_ONLY)
    examples.groupBy("split", "intent").count().collect()
    examples.groupBy(F.xxhash64("tokens")).agg(F.count_distinct("split").alias("splits")).where("splits > 1").count()
    words = examples.select(F.explode("tokens").alias("word"))
    counts = words.groupBy("word").count().where("count > 1").orderBy(F.desc("count"), "word").limit(20_000).collect()
    ids = spark.createDataFrame([(row.word, number + 2) for number, row in enumerate(counts)], "word string, id int")
    exploded = examples.select("row", "split", "intent", F.posexplode("tokens").alias("place", "word"))
    found = exploded.join(F.broadcast(ids), "word", "left").withColumn("id", F.coalesce("id", F.lit(1)))
    pairs = F.sort_array(F.collect_list(F.struct("place", "id"))).alias("pairs")
    encoded = found.groupBy("row", "split", "intent").agg(pairs)
    padded = F.slice(F.concat("pairs.id", F.array_repeat(F.lit(0), MAX_TOKENS)), 1, MAX_TOKENS).alias("input_ids")
    table = encoded.select("row", "split", "intent", padded).repartition(8, "row").sortWithinPartitions("row")
    table.write.mode("overwrite").partitionBy("split").parquet(str(HOME / "spark-sql"))
    seconds = time.monotonic() - began
    spark.stop()
    return seconds


def one_process(rows: int) -> float:
    """Seconds of the same in a loop over lines, in one Python process, scaled up from a share of the files."""
    word = re.compile(r"<[a-z]+>|[^\W\d_]+|\d+|[^\s]")
    entities = {name: re.compile(pattern) for name, pattern in ENTITIES.items()}
    files = sorted((HOME / f"corpus-{rows}").glob("part-*"))
    some = files[: max(len(files) // SHARE, 1)]
    began = time.monotonic()
    examples = []
    for file in some:
        for line in gzip.open(file, "rt"):
            try:
                turn = json.loads(line)
            except ValueError:
                continue
            if turn.get("intent") and turn.get("text"):
                text = unicodedata.normalize("NFKC", turn["text"]).lower()
                for name, pattern in entities.items():
                    text = pattern.sub(f" {name} ", text)
                place = crc32(turn["dialog_id"].encode()) % 10
                split = {0: "test", 1: "validation"}.get(place, "train")
                row = crc32(f"{turn['dialog_id']} {turn['turn']}".encode())
                examples.append((row, split, turn["intent"], word.findall(text)[:MAX_TOKENS]))
    counts = Counter(token for *_, tokens in examples for token in tokens)
    Counter((split, intent) for _, split, intent, _ in examples)
    splits: dict[tuple[str, ...], set[str]] = {}
    for _, split, _, tokens in examples:
        splits.setdefault(tuple(tokens), set()).add(split)
    sum(len(found) > 1 for found in splits.values())
    ids = {token: number + 2 for number, (token, count) in enumerate(counts.most_common(20_000)) if count > 1}
    for name in ("train", "validation", "test"):
        kept = sorted((example for example in examples if example[1] == name), key=lambda example: example[0])
        encoded = [([ids.get(token, 1) for token in tokens] + [0] * MAX_TOKENS)[:MAX_TOKENS] for *_, tokens in kept]
        pq.write_table(pa.table({"intent": [row[2] for row in kept], "input_ids": encoded}), HOME / f"python-{name}")
    return (time.monotonic() - began) * len(files) / len(some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_650_000])
    parser.add_argument("--only-parley", action="store_true", help="leave the comparisons out")
    options = parser.parse_args()
    print("| turns | by | seconds | turns/s | Java MB | Python MB |\n|---|---|---|---|---|---|")
    for rows in options.rows:
        generate(rows)
        ways: dict[str, Callable[[int], float]] = {"Parley": parley}
        if not options.only_parley:
            ways |= {"one Python process": one_process, "Spark SQL": spark_sql}  # whose Java stays
        for name, way in ways.items():
            memory = Memory()
            memory.start()
            seconds = way(rows)
            memory.done.set()
            held = " | ".join(f"{memory.most[kind]:,}" for kind in ("java", "python"))
            print(f"| {rows:,} | {name} | {seconds:.0f} | {rows / seconds:,.0f} | {held} |", flush=True)
        shutil.rmtree(HOME / "spark-sql", ignore_errors=True)


if __name__ == "__main__":
    main()
