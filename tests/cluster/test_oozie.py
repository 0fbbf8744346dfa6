"""Oozie's own schemas accept conf/oozie; its steps are tested in tests/conf/test_schedules.py."""

import subprocess
from pathlib import Path

import pytest
from lxml import etree

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
NAMESPACES = {  # the workflow's schema alone would not accept the actions, which it does not import
    "uri:oozie:workflow:1.0": "oozie-workflow-1.0.xsd",
    "uri:oozie:shell-action:1.0": "shell-action-1.0.xsd",
    "uri:oozie:email-action:0.2": "email-action-0.2.xsd",
    "uri:oozie:coordinator:0.5": "oozie-coordinator-0.5.xsd",
}


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    fetch = [ROOT / "scripts" / "cluster" / "fetch_oozie.sh"]
    schemas = Path(subprocess.run(fetch, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    imports = "".join(
        f'<import namespace="{namespace}" schemaLocation="{(schemas / file).as_uri()}"/>'
        for namespace, file in NAMESPACES.items()
    )
    return etree.XMLSchema(etree.fromstring(f'<schema xmlns="http://www.w3.org/2001/XMLSchema">{imports}</schema>'))


@pytest.mark.parametrize("file", ["workflow.xml", "coordinator.xml"])
def test_oozie_accepts_the_file(schema: etree.XMLSchema, file: str) -> None:
    document = etree.parse(ROOT / "conf" / "oozie" / file)
    schema.validate(document)
    assert [str(error) for error in schema.error_log] == []
    assert document.getroot().nsmap[None] in NAMESPACES


def test_an_element_out_of_order_is_not_accepted(schema: etree.XMLSchema) -> None:
    document = etree.parse(ROOT / "conf" / "oozie" / "workflow.xml")
    shell = document.find(".//{uri:oozie:shell-action:1.0}shell")
    shell.append(shell[0])  # exec behind its arguments
    assert not schema.validate(document)
