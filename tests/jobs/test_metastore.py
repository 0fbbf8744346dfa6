"""Tables of a real Hive metastore, on Derby in a directory of the test, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
SITE = """<configuration>
<property><name>javax.jdo.option.ConnectionURL</name><value>jdbc:derby:;databaseName={0}/db;create=true</value></property>
<property><name>hive.metastore.warehouse.dir</name><value>{0}/warehouse</value></property>
<property><name>datanucleus.schema.autoCreateAll</name><value>true</value></property>
<property><name>hive.metastore.schema.verification</name><value>false</value></property>
</configuration>"""
MAKE = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[2]").enableHiveSupport().getOrCreate()
spark.sql("create database shop")
spark.sql("create table shop.dialogs (says string, what string) partitioned by (day string) stored as orc")
for day in ("monday", "tuesday"):
    rows = ", ".join(f"('say {word} {number}', '{word}')" for number in range(30) for word in ("lost", "track"))
    spark.sql(f"insert into shop.dialogs partition (day = '{day}') values {rows}")
"""


def started(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in an empty working directory, in which no metastore must be left."""
    work = directory / "work"
    work.mkdir(exist_ok=True)
    options = f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} -Dderby.system.home={directory}"
    settings = {"PYTHONPATH": str(ROOT), "SPARK_SUBMIT_OPTS": options, **environment}
    done = subprocess.run(
        [sys.executable, *words], cwd=work, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300
    )
    assert [file.name for file in work.iterdir() if file.name != "spark-warehouse"] == []  # Spark's own, of any session
    return done


def preprocess(directory: Path, *settings: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [
        f"dataset.path={directory}/dataset", "dataset.files_per_split=1", "spark.master=local[2]",
        "spark.sql.shuffle.partitions=2", "corpus.format=table", "corpus.path=shop.dialogs", "corpus.text=says",
        "corpus.intent=what", "corpus.slice=day", *settings,
    ]  # fmt: skip
    return started(
        directory, "-m", "jobs.preprocess", *[word for one in words for word in ("--set", one)], **environment
    )


def test_a_table_of_hive_is_preprocessed(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "hive-site.xml").write_text(SITE.format(tmp_path))
    made = started(tmp_path, "-c", MAKE, SPARK_CONF_DIR=f"{tmp_path}/conf")
    assert made.returncode == 0, made.stderr
    assert list((tmp_path / "warehouse").rglob("day=monday/part-*"))

    done = preprocess(tmp_path, SPARK_CONF_DIR=f"{tmp_path}/conf")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "dataset" / "manifest.json").read_text())
    assert (manifest["rows_in"], manifest["rejected"], manifest["slice"]) == (120, {}, "day")

    setting = f"spark.hadoop.javax.jdo.option.ConnectionURL=jdbc:derby:;databaseName={tmp_path}/db"
    checks = "spark.hadoop.hive.metastore.schema.verification=false"
    done = preprocess(tmp_path, setting, checks, "corpus.path=shop.dialog")
    line = done.stderr.splitlines()[-1]
    assert (done.returncode, "TABLE_OR_VIEW_NOT_FOUND" in line, "metastore" in line) == (2, True, False)


def test_without_a_metastore_none_is_made_and_the_refusal_says_so(tmp_path: Path) -> None:
    done = preprocess(tmp_path)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and line.startswith("parley: corpus.path ['shop.dialogs'] cannot be read as table: [")
    assert line.endswith(
        "The session has no Hive metastore: where Hive's tables are wanted, hive-site.xml must be in SPARK_CONF_DIR "
        "or HADOOP_CONF_DIR"
    )
    assert not list(tmp_path.glob("*db*"))
