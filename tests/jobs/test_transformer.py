"""Scoring in a pipeline of Spark ML, which comes back from storage as it went."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import SparkSession

from jobs.score import score
from jobs.transformer import IntentScorer

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow]


def test_a_saved_pipeline_gives_what_the_function_gives(spark: SparkSession, tmp_path: Path, make_model: Any) -> None:
    model = make_model("run", {"hello": "greeting", "parcel": "delivery"})
    frame = spark.createDataFrame([("hello",), ("my parcel",), (None,)], "said string")
    pipeline = Pipeline(stages=[IntentScorer(model=model, inputCol="said")])
    pipeline.fit(frame).write().overwrite().save(str(tmp_path / "pipeline"))
    found = PipelineModel.load(str(tmp_path / "pipeline")).transform(frame)
    assert sorted(found.collect(), key=str) == sorted(score(frame, model, "said").collect(), key=str)
    assert [row.intent for row in found.orderBy("said").collect()] == [None, "greeting", "delivery"]
