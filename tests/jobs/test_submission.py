"""What submit.sh says when a submission fails before the job can say anything; texts as Hadoop 3.4 prints them."""

import json
import re
from pathlib import Path

import pytest

from jobs.submission import explain, main

QUEUE = """26/11/20 18:57:11 INFO Client: Uploading resource file:/tmp/x.zip
Exception in thread "main" org.apache.spark.SparkException: Application failed
\tat org.apache.spark.deploy.yarn.Client.submitApplication(Client.scala:263)
Caused by: org.apache.hadoop.yarn.exceptions.YarnException: submitted by user me to unknown queue: nope
\tat org.apache.hadoop.yarn.client.api.impl.YarnClientImpl.submitApplication(YarnClientImpl.java:336)
"""
KILLED = """\t diagnostics: Application application_1_0004 failed 1 times (global limit =2) due to AM \
Container for appattempt_1_0004_000001 exited with  exitCode: -104
Exception in thread "main" org.apache.spark.SparkException: Application application_1_0004 finished with failed status
"""


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (QUEUE, r"^YarnException: submitted by user me to unknown queue: nope: name a queue that there is"),
        (KILLED, r"^Application application_1_0004 failed .*exitCode: -104: give more memory: "),
        ("Exception in thread \"main\" java.io.FileNotFoundException: File does not exist: hdfs://a/nope.tar.gz\n",
         r"^FileNotFoundException: File does not exist: hdfs://a/nope.tar.gz: correct the path"),
        ("Caused by: java.net.ConnectException: Call From vm to nn:8020 failed: Connection refused\n",
         r"^ConnectException: Call From vm to nn:8020 failed: Connection refused: is the cluster up"),
        ("Killed\n", r"^spark-submit failed without saying why: see its output above$"),
    ],
)  # fmt: skip
def test_the_cause_and_what_to_do_are_one_line(said: str, line: str) -> None:
    assert re.search(line, explain(said))
    assert "\n" not in explain(said)


def test_the_jobs_own_word_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"code": 2, "message": "no dataset"}))
    assert main(1, f"INFO Client: Submitted application application_1\n{KILLED}", str(result)) == 2
    assert capsys.readouterr().err == "parley: no dataset\n"
    assert not result.exists()


def test_a_driver_that_left_no_word_has_failed_whatever_spark_submit_says(tmp_path: Path) -> None:
    assert main(0, "", f"{tmp_path}/nothing.json") == 1
    assert main(0, "", "") == 0


def test_what_the_job_has_said_is_not_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(2, f"{QUEUE}parley: unknown key\n") == 2
    assert capsys.readouterr().err == ""
