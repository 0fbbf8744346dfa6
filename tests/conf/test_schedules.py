"""Airflow's DAG and Oozie's workflow run the same jobs with the same arguments, and publish only after evaluate."""

import ast
import importlib
import json
import logging
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pytest
from lxml import etree
from pyspark.sql import SparkSession

from jobs.config import load_config
from training.artifact import read_model

CONF = Path(__file__).parents[2] / "conf"
WORKFLOW = {"w": "uri:oozie:workflow:1.0", "s": "uri:oozie:shell-action:1.0"}
PLACES = {
    "home": "/opt/parley",
    "config": "/opt/parley/conf/other.toml",
    "data": "hdfs:///elsewhere",
    "day": "2026-11-01",
}


def airflow_commands(places: Mapping[str, str] = PLACES) -> list[list[str]]:
    """The words of each job's command in order, rendered as Airflow does, which is not needed for it."""
    module = ast.parse((CONF / "airflow" / "nightly.py").read_text())
    plain = [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).isupper())
    ]
    names: dict[str, Any] = {}
    exec(compile(ast.Module(plain, []), "nightly.py", "exec"), names)
    variables = {f"parley_{name}": places[name] for name in ("home", "config", "data")}
    rendered = {"ds": places["day"], "var": {"value": variables}}
    templates = [names["submit"](job, settings) for job, settings in names["JOBS"].items()]
    return [shlex.split(jinja2.Template(template).render(rendered)) for template in templates]


def expand(text: str | None) -> str:
    """`text` with Oozie's ${name} replaced by the place."""
    return re.sub(r"\$\{(\w+)\}", lambda found: PLACES[found[1]], text or "")


@pytest.fixture
def workflow() -> etree._Element:
    return etree.parse(CONF / "oozie" / "workflow.xml").getroot()


def next_of(action: etree._Element, outcome: str) -> str:
    return action.find(f"w:{outcome}", WORKFLOW).get("to")


def happy_path(workflow: etree._Element) -> list[etree._Element]:
    """The actions from start to end when all goes well."""
    actions = {action.get("name"): action for action in workflow.findall("w:action", WORKFLOW)}
    path, name = [], workflow.find("w:start", WORKFLOW).get("to")
    while name in actions:
        path.append(actions.pop(name))  # each at most once
        name = next_of(path[-1], "ok")
    assert name == workflow.find("w:end", WORKFLOW).get("name")
    return path


def test_both_schedules_run_the_same_jobs_with_the_same_arguments(workflow: etree._Element) -> None:
    shells = [action.find("s:shell", WORKFLOW) for action in happy_path(workflow)]
    words = [[shell.find("s:exec", WORKFLOW), *shell.findall("s:argument", WORKFLOW)] for shell in shells]
    assert airflow_commands() == [[expand(word.text) for word in command] for command in words]


def test_a_model_is_published_only_after_it_was_evaluated(workflow: etree._Element) -> None:
    order = [action.get("name") for action in happy_path(workflow)]
    assert order == ["preprocess", "train", "evaluate", "publish", "score"]


def test_every_transition_names_a_node_and_every_failure_alerts_and_ends_the_workflow(workflow: etree._Element) -> None:
    nodes = [node.get("name") for node in workflow.iterfind("w:*", WORKFLOW) if node.get("name")]
    assert len(set(nodes)) == len(nodes)
    assert {node.get("to") for node in workflow.iterfind(".//*[@to]")} <= set(nodes)
    assert {next_of(action, "error") for action in happy_path(workflow)} == {"alert"}
    alert = workflow.find("w:action[@name='alert']", WORKFLOW)
    assert {next_of(alert, "ok"), next_of(alert, "error")} == {workflow.find("w:kill", WORKFLOW).get("name")}


def test_every_property_that_oozie_needs_is_in_the_example(workflow: etree._Element) -> None:
    lines = (CONF / "oozie" / "job.properties").read_text().splitlines()
    given = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    coordinator = etree.parse(CONF / "oozie" / "coordinator.xml").getroot()
    passed_on = {name.text for name in coordinator.iterfind(".//{*}property/{*}name")}
    text = etree.tostring(workflow).decode() + etree.tostring(coordinator).decode() + "".join(lines)
    needed = set(re.findall(r"\$\{(\w+)\}", text)) - {"YEAR", "MONTH", "DAY"}
    assert needed <= given | passed_on
    assert given <= needed | {"oozie.coord.application.path"}


class Nights:
    """The schedule's jobs with its arguments and conf/nightly.toml, in this session and a small directory."""

    SMALL = ("training.epochs=1", "training.processes=1", "dataset.files_per_split=2", "evaluation.minimum_accuracy=0",
             "model.architecture=fasttext", "model.embedding_size=16", "training.learning_rate=0.01")  # fmt: skip

    def __init__(self, spark: SparkSession, directory: Path) -> None:
        self.spark, self.data = spark, directory

    def arrive(self, day: str, seed: int, more: str = "") -> None:
        """The corpus and the dialogs of a day, of generated turns and `more` lines."""
        corpus = self.data / "corpus" / day
        settings = [f"corpus.path={corpus}", "generator.rows=2000", f"generator.seed={seed}"]
        importlib.import_module("jobs.generate").run(self.spark, load_config(None, settings))
        (corpus / "more.json").write_text(more)
        shutil.copytree(corpus, self.data / "dialogs" / day)

    def run(self, day: str, *jobs: str) -> None:
        """Those jobs of a night, or all five."""
        places = {"home": "", "config": str(CONF / "nightly.toml"), "data": str(self.data), "day": day}
        for _, job, _, config, *words in airflow_commands(places):
            if job in (jobs or [job]):
                overrides = [word for word in words if word != "--set"]
                resolved = load_config(config, [*overrides, f"registry.path={self.data}/registry", *self.SMALL])
                importlib.import_module(f"jobs.{job}").run(self.spark, resolved)

    def read(self, file: str) -> Any:
        return json.loads((self.data / file).read_text())


@pytest.mark.spark
@pytest.mark.tensorflow
@pytest.mark.horovod
def test_two_nights(spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The second starts from the first one's model, measures drift against its data, and passes the gate against it."""
    nights, (monday, tuesday, friday) = Nights(spark, tmp_path), ("2026-11-02", "2026-11-03", "2026-11-06")
    days, registry = (tmp_path / "days").as_uri(), f"{tmp_path.as_uri()}/registry/intents"
    nights.arrive(monday, seed=1)
    with caplog.at_level(logging.INFO):
        nights.run(monday)
    assert f"nothing is published in {registry} yet: there is no drift to measure" in caplog.text
    assert not (tmp_path / "days" / monday / "dataset" / "drift.json").exists()
    assert nights.read("registry/intents/current.json")["version"] == 1

    new = {"intent": "insurance_claim", "speaker": "user", "turn": 0}
    texts = [{**new, "text": f"insure my parcel number {number}", "dialog_id": f"i{number}"} for number in range(200)]
    nights.arrive(tuesday, seed=2, more="\n".join(map(json.dumps, texts)))
    with caplog.at_level(logging.INFO):
        nights.run(tuesday)
    drift = nights.read(f"days/{tuesday}/dataset/drift.json")
    assert drift["reference"] == f"{days}/{monday}/dataset" and drift["new_intents"]["insurance_claim"] == 200
    assert drift["intents"]["index"] > drift["intents"]["by_chance"] + 0.1
    assert f"starting from {registry}/versions/1: " in caplog.text
    publication = nights.read("registry/intents/versions/2/publication.json")
    assert publication["compared_with"]["version"] == 1 and publication["compared_with"]["p"] >= 0.05
    assert read_model(f"{registry}/versions/2").manifest["training"]["start_from"] == f"{registry}/versions/1"
    assert nights.read("registry/intents/current.json")["version"] == 2

    nights.run(tuesday, "preprocess")  # made again after its model was published
    assert nights.read(f"days/{tuesday}/dataset/drift.json")["reference"] == f"{days}/{monday}/dataset"
    shutil.rmtree(tmp_path / "days" / tuesday / "dataset")
    nights.arrive(friday, seed=3)
    nights.run(friday, "preprocess")
    assert f"{days}/{tuesday}/dataset is no longer what version 2 was trained on: no drift is measured" in caplog.text
    assert not (tmp_path / "days" / friday / "dataset" / "drift.json").exists()
