"""make bench-preprocess: a generated corpus preprocessed by Parley, by Spark SQL's functions, by one Python process.

All read the same gzipped JSON lines on local[2] (Python: one process) and end with examples of ids in Parquet. Seconds
are those after Spark has started; memory is the most that the processes held at once.
"""

import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

CORES, SHARE, MAX_TOKENS = 2, 10, 24  # the Python process does one file in SHARE, its cost being linear
WORD = r"[\p{L}\p{M}]+|\p{N}+|[^\s]"
ROOT = Path(__file__).parents[2]
HOME = ROOT / "data" / "bench"


class Memory(threading.Thread):
    """The most memory, in MB, that this process' children held: Java and Python apart."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = {"java": 0, "python": 0}
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            held = dict.fromkeys(self.most, 0)
            for process in psutil.Process().children(recursive=True):
                try:
                    kind = "java" if process.name() == "java" else "python"
                    held[kind] += process.memory_full_info().pss >> 20
                except psutil.Error:  # it has ended
                    continue
            self.most = {kind: max(most, held[kind]) for kind, most in self.most.items()}


def settings(rows: int) -> list[str]:
    values = {
        "corpus.path": HOME / f"corpus-{rows}", "dataset.path": HOME / f"dataset-{rows}", "generator.rows": rows,
        "spark.master": f"local[{CORES}]",
    }  # fmt: skip
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def job(name: str, rows: int) -> str:
    """What a job of ours said."""
    command = [sys.executable, "-m", f"jobs.{name}", "--config", "conf/local.toml", *settings(rows)]
    return subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.PIPE, text=True).stderr


def parley(rows: int) -> float:
    """Seconds of jobs.preprocess: all steps, read to manifest, with profile, leaks and rejected rows."""
    found = re.search(r"wrote .* \((\d+) s, fingerprint", job("preprocess", rows))
    assert found
    return float(found[1])


def spark_sql(rows: int) -> float:
    """Seconds of tokenising, counting, encoding and writing with Spark SQL's functions alone."""
    spark = SparkSession.builder.master(f"local[{CORES}]").config("spark.driver.memory", "2g").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    began = time.monotonic()
    turns = spark.read.json(str(HOME / f"corpus-{rows}")).where("intent is not null and text is not null")
    tokens = F.slice(F.regexp_extract_all(F.lower("text"), F.lit(WORD), F.lit(0)), 1, MAX_TOKENS)
    examples = turns.select(F.xxhash64("dialog_id", "turn").alias("row"), "intent", tokens.alias("tokens")).persist()
    words = examples.select(F.explode("tokens").alias("word"))
    counts = words.groupBy("word").count().where("count > 1").orderBy(F.desc("count"), "word").limit(20_000).collect()
    ids = spark.createDataFrame([(row.word, number + 2) for number, row in enumerate(counts)], "word string, id int")
    exploded = examples.select("row", "intent", F.posexplode("tokens").alias("place", "word"))
    found = exploded.join(F.broadcast(ids), "word", "left").withColumn("id", F.coalesce("id", F.lit(1)))
    encoded = found.groupBy("row", "intent").agg(F.sort_array(F.collect_list(F.struct("place", "id"))).alias("pairs"))
    split = F.when(F.pmod("row", F.lit(10)) == 0, "test").when(F.pmod("row", F.lit(10)) == 1, "validation")
    table = encoded.select(
        "intent", F.col("pairs.id").alias("input_ids"), F.coalesce(split, F.lit("train")).alias("split")
    )
    table.write.mode("overwrite").partitionBy("split").parquet(str(HOME / "spark-sql"))
    seconds = time.monotonic() - began
    spark.stop()
    return seconds


def one_process(rows: int) -> float:
    """Seconds of the same in a loop over lines, in one Python process, scaled up from a share of the files."""
    word = re.compile(r"[^\W\d_]+|\d+|[^\s]")
    files = sorted((HOME / f"corpus-{rows}").glob("part-*"))
    some = files[:: max(len(files) // max(len(files) // SHARE, 1), 1)]
    began = time.monotonic()
    examples = []
    for file in some:
        for line in gzip.open(file, "rt"):
            try:
                turn = json.loads(line)
            except ValueError:
                continue
            if turn.get("intent") and turn.get("text"):
                examples.append((turn["dialog_id"], turn["intent"], word.findall(turn["text"].lower())[:MAX_TOKENS]))
    counts = Counter(token for *_, tokens in examples for token in tokens)
    ids = {token: number + 2 for number, (token, count) in enumerate(counts.most_common(20_000)) if count > 1}
    for name, places in {"train": range(2, 10), "validation": [1], "test": [0]}.items():
        kept = [row for row in examples if crc32(row[0].encode()) % 10 in places]
        encoded = [[ids.get(token, 1) for token in tokens] for *_, tokens in kept]
        pq.write_table(pa.table({"intent": [row[1] for row in kept], "input_ids": encoded}), HOME / f"python-{name}")
    return (time.monotonic() - began) * len(files) / len(some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_650_000])
    parser.add_argument("--only-parley", action="store_true", help="leave the comparisons out")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    print("| turns | by | seconds | turns/s | Java MB | Python MB |\n|---|---|---|---|---|---|")
    for rows in options.rows:
        if not (HOME / f"corpus-{rows}").exists():
            job("generate", rows)
        ways: dict[str, Callable[[int], float]] = {"Parley": parley}
        if not options.only_parley:
            ways |= {"Spark SQL": spark_sql, "one Python process": one_process}
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
