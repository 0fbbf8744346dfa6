"""Fetching a corpus: from a publisher that lacks what was published then, nothing is taken."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "download_corpus.sh"


def download(*arguments: str, mirror: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "CORPUS_MIRROR": mirror.as_uri(), "HOME": str(mirror)}
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_a_repository_without_the_commit_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    repository = tmp_path / "mirror" / "clinc" / "oos-eval"
    repository.mkdir(parents=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "--quiet", repository], check=True)
    (repository / "data").mkdir()
    (repository / "data" / "data_full.json").write_text("{}")
    subprocess.run(["git", "-C", repository, "add", "."], check=True)
    subprocess.run(["git", "-C", repository, *identity, "commit", "--quiet", "-m", "another"], check=True)

    done = download("clinc150", str(tmp_path / "here" / "clinc150"), mirror=tmp_path / "mirror")
    assert done.returncode == 1
    assert "lacks commit 828f8093932c8fe6ca7936c3d2e52903b1c523de: pass DATA=" in done.stderr
    assert list((tmp_path / "here").iterdir()) == []


def test_an_unknown_corpus_is_refused_in_a_line(tmp_path: Path) -> None:
    done = download("clinc", str(tmp_path / "here"), mirror=tmp_path)
    assert (done.returncode, done.stderr) == (2, "usage: download_corpus.sh clinc150|3i4k|sgd DIRECTORY\n")


def test_a_corpus_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    done = download("3i4k", str(tmp_path / "there"), mirror=tmp_path / "nowhere")
    assert (done.returncode, done.stderr) == (0, f"download: {tmp_path}/there exists; nothing fetched\n")
