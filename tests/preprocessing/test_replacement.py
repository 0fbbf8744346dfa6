"""A directory takes the place of another, and whoever does it is killed on the way; object stores: tests/cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

from preprocessing import replacement, storage
from preprocessing.errors import UserError
from preprocessing.manifest import DatasetManifest, read_manifest, write_manifest
from preprocessing.origin import changed

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
from preprocessing import storage
from preprocessing.filesystems import open_store
out, last = sys.argv[1], int(sys.argv[2])
filesystem, done = open_store(out)[0], []

def dying(act):
    def step(*args, **kwargs):
        done.append(args)
        return os.kill(os.getpid(), signal.SIGKILL) if len(done) > last else act(*args, **kwargs)
    return step

with storage.lease(out):
    for name in ("a", "deep/b", "manifest.json"):
        storage.write_text(f"{out}.tmp-1/{name}", "new")
    for verb in ("mv", "rm", "rm_file"):
        setattr(filesystem, verb, dying(getattr(filesystem, verb)))
    storage.replace_directory(f"{out}.tmp-1", out)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def tree(directory: Path) -> dict[str, str]:
    """Path -> content of all files below."""
    return {str(file.relative_to(directory)): file.read_text() for file in directory.rglob("*") if file.is_file()}


@pytest.mark.parametrize("steps", range(5))
def test_a_swap_that_is_killed_at_any_step_loses_nothing(tmp_path: Path, steps: int) -> None:
    """Four steps: the old one aside, the new one into place, the old one's manifest, the rest of it."""
    old = {"out/a": "old", "out/manifest.json": "old"}
    new = dict.fromkeys(("out/a", "out/deep/b", "out/manifest.json"), "new")
    for name, content in old.items():
        storage.write_text(f"{tmp_path}/{name}", content)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "out"), str(steps)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    assert (tmp_path / "out").exists() == (steps != 1) and bool(list(tmp_path.glob("out.old-*"))) == (1 <= steps <= 3)
    assert not list(tmp_path.glob("out.old-*/manifest.json")) or steps < 3
    assert replacement.is_between(f"{tmp_path}/out") == storage.mended(f"{tmp_path}/out") == (steps == 1)
    with storage.lease(f"{tmp_path}/out"):
        pass
    assert tree(tmp_path) == (old if steps <= 1 else new)


def test_readers_find_the_dataset_that_a_killed_writer_had_put_aside(tmp_path: Path) -> None:
    facts = {"tokenizer": "words", "max_tokens": 4, "vocabulary_size": 3, "num_labels": 1, "out_of_scope": ""}
    manifest = DatasetManifest(
        **facts, buckets=(4,), splits={}, rows_in=0, context_only=0, rejected={}, fingerprint="f", made_of={"a": 1}
    )
    uri = f"{tmp_path}/out"
    for find in (lambda: read_manifest(uri) == manifest, lambda: changed(uri, {"a": 1}) == []):
        storage.remove(uri)
        write_manifest(f"{uri}.old-1", manifest)
        assert find()
        assert tree(tmp_path).keys() == {"out/manifest.json"}
    storage.remove(uri)
    assert changed(uri, {}) is None
    with pytest.raises(UserError, match="no dataset at"):
        read_manifest(uri)
