"""scripts/notebooks/explore.ipynb, executed by a Jupyter kernel of this environment."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from preprocessing.manifest import read_manifest

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

FILE = Path(__file__).parents[2] / "scripts" / "notebooks" / "explore.ipynb"


def text_of(cell: nbformat.NotebookNode) -> str:
    """What the cell printed, and its value as text."""
    said = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(said)


def test_the_committed_notebook_holds_no_outputs() -> None:
    cells = [cell for cell in nbformat.read(FILE, as_version=4).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


# Jupyter warns of its own paths and of a debugger that nobody asked for
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning:zmq")
def test_the_notebook_runs_and_its_figures_are_those_of_the_files(tmp_path: Path) -> None:
    notebook = nbformat.read(FILE, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    parameters = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    parameters[0].source = f"ROWS, EPOCHS = 4_000, 12\nBASE = {str(tmp_path)!r}"
    client = NotebookClient(notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": FILE.parent}})
    client.execute()
    nbformat.write(notebook, tmp_path / "executed.ipynb")

    manifest = read_manifest((tmp_path / "dataset").as_uri())
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    by_source = {cell.source: cell for cell in cells}
    [dataset] = [cell for source, cell in by_source.items() if "preprocess.run(" in source]
    assert f"'train': {manifest.rows('train')}" in text_of(dataset) and "no text" in text_of(dataset)
    [training] = [cell for source, cell in by_source.items() if "train.run(" in source]
    assert "INFO epoch 1/12 step" in text_of(training) and "INFO best epoch" in text_of(training)
    [evaluation] = [cell for source, cell in by_source.items() if "evaluate.run(" in source]
    assert f"{metrics['accuracy']:.4f}" in text_of(evaluation)
    [scoring] = [cell for source, cell in by_source.items() if "score.score(" in source]
    labels = (tmp_path / "dataset" / "labels.txt").read_text().split()
    rows = [line for line in text_of(scoring).splitlines() if "i want my money back" in line]
    assert rows and any(label in rows[0] for label in labels)
    pictures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
