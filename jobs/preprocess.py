"""corpus -> dataset."""

import json
import logging
import sys

from pyspark.sql import SparkSession

from jobs.cli import run_job
from jobs.config import AppConfig
from jobs.profile_page import write_page
from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.manifest import DatasetManifest, read_manifest
from preprocessing.origin import changed, made_of
from preprocessing.pipeline import build_dataset
from training.artifact import read_model
from training.registry import CURRENT, current_version, version_uri

log = logging.getLogger(__name__)


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    read = f"read {config.corpus.format} from {', '.join(config.corpus.path)}, write the dataset to "
    if config.dataset.reference == CURRENT:
        return f"{read}{config.dataset.path}, with the drift since the dataset of the published model"
    since = f", with the drift since {config.dataset.reference}" if config.dataset.reference else ""
    return f"{read}{config.dataset.path}{since}"


def run(spark: SparkSession, config: AppConfig) -> DatasetManifest:
    """Raw dialogs to a training dataset."""
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    return build_dataset(spark, config.corpus, config.dataset, write_page, find_reference(spark, config))


def find_reference(spark: SparkSession, config: AppConfig) -> str:
    """URI of the dataset that drift is measured against; "" for none.

    `dataset.reference = "current"` is the dataset that the published model was trained on, as long as it is there.
    """
    if config.dataset.reference != CURRENT:
        return config.dataset.reference
    number = current_version(config.registry.uri)
    if number is None:
        log.info("nothing is published in %s yet: there is no drift to measure", config.registry.uri)
        return ""
    model = read_model(version_uri(config.registry.uri, number)).manifest
    found, own = str(model["dataset"]), storage.absolute(config.dataset.path)
    try:
        same = read_manifest(found).fingerprint == model["fingerprint"]
    except UserError:
        same = False
    if not same:
        log.warning("%s is no longer what version %d was trained on: no drift is measured", found, number)
        return ""
    if found == own and changed(own, made_of(spark, config.corpus, config.dataset)) == []:
        return _earlier_reference(own)  # made once more: published meanwhile, it would be compared with itself
    return found


def _earlier_reference(uri: str) -> str:
    """What the dataset at `uri` was compared with; "" for nothing."""
    try:
        return str(json.loads(storage.read_text(f"{uri}/drift.json"))["reference"])
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
