"""Building Horovod with CUDA and NCCL: what is missing for it is said in a line, before anything is compiled."""

import subprocess
import venv
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "build_horovod.sh"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment that has of TensorFlow only what it says of itself: made for CUDA 12.5, without its libraries."""
    venv.create(tmp_path / "venv", symlinks=True)
    packages = next((tmp_path / "venv" / "lib").glob("python3*")) / "site-packages"
    about = packages / "tensorflow-2.21.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.21.0\n")
    (about / "top_level.txt").write_text("tensorflow\n")
    (packages / "tensorflow").mkdir()
    (packages / "tensorflow" / "__init__.py").write_text("")
    (packages / "tensorflow" / "sysconfig.py").write_text(
        "def get_include(): return 'include'\ndef get_build_info(): return {'cuda_version': '12.5.1'}\n"
    )
    return tmp_path / "venv"


def toolkit(directory: Path, version: int) -> Path:
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "nvcc").write_text("#!/bin/sh\nexit 1\n")
    (directory / "bin" / "nvcc").chmod(0o755)
    (directory / "include").mkdir()
    (directory / "include" / "cuda_runtime_api.h").write_text(f"#define CUDART_VERSION  {version}\n")
    return directory


def refusal(environment: Path, cuda: Path) -> str:
    """What the script says, without its name; it must refuse."""
    done = subprocess.run(
        [SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHON": str(environment / "bin" / "python"),
            "PARLEY_CACHE": str(environment / "cache"),
            "HOROVOD_CUDA_HOME": str(cuda),
        },
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("horovod: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("horovod: ")


def test_without_a_toolkit(environment: Path, tmp_path: Path) -> None:
    assert refusal(environment, tmp_path / "none").startswith(
        f"no {tmp_path}/none/bin/nvcc: set HOROVOD_CUDA_HOME to a CUDA toolkit"
    )


def test_with_a_toolkit_of_another_cuda(environment: Path, tmp_path: Path) -> None:
    said = refusal(environment, toolkit(tmp_path / "cuda", 13000))
    assert f"{tmp_path}/cuda holds CUDA 13, TensorFlow was built for CUDA 12.5.1: " in said


def test_without_nccl(environment: Path, tmp_path: Path) -> None:
    said = refusal(environment, toolkit(tmp_path / "cuda", 12090))
    assert said.startswith("no NCCL in ") and "install tensorflow[and-cuda], not tensorflow alone" in said
