"""Scoring as a step of a Spark ML pipeline.

Pipeline(stages=[..., IntentScorer(model="hdfs:///parley/registry/intents/versions/3", inputCol="utterance")])
"""

from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame

from jobs.score import score


class IntentScorer(Transformer, HasInputCol, DefaultParamsReadable, DefaultParamsWritable):
    """A DataFrame to the same with the columns `jobs.score.ADDED`; can be saved in a pipeline and loaded again."""

    model: Param[str] = Param(Params._dummy(), "model", "URI of a model or version", TypeConverters.toString)

    def __init__(self, *, model: str = "", inputCol: str = "text") -> None:
        super().__init__()
        self._set(model=model, inputCol=inputCol)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return score(dataset, self.getOrDefault(self.model), self.getInputCol())
