"""A real Hadoop for the tests of this folder, started and stopped by our own script."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="session")
def hadoop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of a command that talks to a running cluster, apart from the user's own one."""
    directory = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, "PARLEY_CLUSTER": str(directory / "state"), "PARLEY_CLUSTER_PORT_BASE": "29000"}
    started = subprocess.run(
        [SCRIPTS / "cluster.sh", "start"], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    name, _, value = started.stdout.strip().removeprefix("export ").partition("=")
    yield {**environment, name: value}
    subprocess.run([SCRIPTS / "cluster.sh", "stop", "--wipe"], env=environment, check=True)
