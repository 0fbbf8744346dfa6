"""Airflow's DAG and Oozie's workflow run the same jobs with the same arguments, and publish only after evaluate."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import jinja2
import pytest
from lxml import etree

CONF = Path(__file__).parents[2] / "conf"
WORKFLOW = {"w": "uri:oozie:workflow:1.0", "s": "uri:oozie:shell-action:1.0"}
PLACES = {
    "home": "/opt/parley",
    "config": "/opt/parley/conf/other.toml",
    "data": "hdfs:///elsewhere",
    "day": "2026-11-01",
}


def airflow_commands() -> list[list[str]]:
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
    variables = {f"parley_{name}": PLACES[name] for name in ("home", "config", "data")}
    rendered = {"ds": PLACES["day"], "var": {"value": variables}}
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
