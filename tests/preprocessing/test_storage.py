"""Files and directories that are whole or not there, on a store."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from preprocessing import storage


def tree(directory: Path) -> dict[str, str]:
    """Path -> content of all files below."""
    return {str(file.relative_to(directory)): file.read_text() for file in directory.rglob("*") if file.is_file()}


def test_a_path_without_a_scheme_is_a_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [storage.absolute(path) for path in ("a/../b c%20", "/x/y/", "s3://b/a/../b/", "s3://b/", "hdfs:///")] == [
        f"file://{tmp_path}/b c%20", "file:///x/y", "s3://b/a/../b", "s3://b", "hdfs:///"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["plain.txt", "new/deep/한글 %20#?.txt"])
def test_what_is_written_is_read_back_and_nothing_else_is_left(tmp_path: Path, name: str) -> None:
    storage.write_text(f"{tmp_path}/{name}", "old")
    storage.write_text(storage.absolute(f"{tmp_path}/{name}"), "주문\n")
    assert tree(tmp_path) == {name: "주문\n"}
    assert storage.read_text(storage.absolute(f"{tmp_path}/{name}")) == "주문\n"


def test_a_reader_holds_on_to_the_old_file_while_a_new_one_is_written(tmp_path: Path) -> None:
    """A file that were overwritten in place would change under the reader."""
    storage.write_text(f"{tmp_path}/a", "old")
    with open(tmp_path / "a") as reader:
        storage.write_text(f"{tmp_path}/a", "new")
        assert (reader.read(), (tmp_path / "a").read_text()) == ("old", "new")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    storage.write_text(f"{tmp_path}/a", "old")
    with pytest.raises(TypeError):
        storage.write_bytes(f"{tmp_path}/a", None)  # type: ignore[arg-type]
    assert (tmp_path / "a").read_text() == "old"


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    storage.write_json(f"{tmp_path}/a.json", {"의도": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "의도": 1\n}\n'


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    storage.write_text(f"{tmp_path}/a/b/c", "")
    for _ in range(2):
        storage.remove(f"{tmp_path}/a")
    assert not storage.exists(f"{tmp_path}/a")


def test_files_below_are_relative_and_sorted(tmp_path: Path) -> None:
    for name in ("b", "a/c", "a/b"):
        storage.write_text(f"{tmp_path}/x/{name}", "")
    assert storage.files_below(f"{tmp_path}/x") == storage.files_below(f"{tmp_path}/x/") == ["a/b", "a/c", "b"]


def test_a_directory_and_a_file_download(tmp_path: Path) -> None:
    storage.write_text(f"{tmp_path}/x/a/b", "1")
    storage.write_text(f"{tmp_path}/x/c", "2")
    storage.download(f"{tmp_path}/x", tmp_path / "y/z")
    storage.download(f"{tmp_path}/x/c", tmp_path / "file/c")
    assert tree(tmp_path / "y") == {"z/a/b": "1", "z/c": "2"}
    assert tree(tmp_path / "file") == {"c": "2"}


def test_the_manifest_is_uploaded_last(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("manifest.json", "a.txt", "z/manifest.json", "z/z.txt"):
        storage.write_text(f"{source}/{name}", name)
    storage.upload(source, f"{tmp_path}/target")
    written = sorted(tree(tmp_path / "target"), key=lambda name: (tmp_path / "target" / name).stat().st_ctime_ns)
    assert tree(tmp_path / "target") == tree(source)
    assert written[-1] == "manifest.json"


def test_an_upload_that_breaks_off_leaves_no_manifest(tmp_path: Path) -> None:
    for name in ("manifest.json", "z/z.txt"):
        storage.write_text(f"{tmp_path}/source/{name}", name)
    storage.write_text(f"{tmp_path}/target/z", "a file where a directory has to be")
    with pytest.raises(OSError):
        storage.upload(tmp_path / "source", f"{tmp_path}/target")
    assert tree(tmp_path / "target") == {"z": "a file where a directory has to be"}


@pytest.mark.parametrize("before", [{}, {"old": "1", "manifest.json": "{}"}])
def test_a_directory_takes_the_place_of_another(tmp_path: Path, before: dict[str, str]) -> None:
    for name, content in before.items():
        storage.write_text(f"{tmp_path}/new/target/{name}", content)
    storage.write_text(f"{tmp_path}/source/a/b", "2")
    storage.replace_directory(f"{tmp_path}/source", f"{tmp_path}/new/target")
    assert tree(tmp_path) == {"new/target/a/b": "2"}


def test_a_replacement_that_fails_loses_nothing(tmp_path: Path) -> None:
    storage.write_text(f"{tmp_path}/target/a", "1")
    with pytest.raises(FileNotFoundError):
        storage.replace_directory(f"{tmp_path}/absent", f"{tmp_path}/target")
    with storage.lease(f"{tmp_path}/target"):
        assert tree(tmp_path / "target") == {"a": "1"}


def test_one_of_several_creates_a_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(lambda n: storage.create(f"{tmp_path}/a/b", str(n).encode()), range(8)))
    assert created.count(True) == 1
    assert tree(tmp_path) == {"a/b": str(created.index(True))}


def test_equal_content_has_the_known_checksum() -> None:
    assert storage.sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_size_of_a_directory_is_that_of_all_its_files(tmp_path: Path) -> None:
    for name, content in (("model/a", "12345"), ("model/deep/b", "주문"), ("other", "x")):
        storage.write_text(f"{tmp_path}/{name}", content)
    assert storage.size(f"{tmp_path}/model") == 11
