"""What a process tells of itself before training, and how disagreement between hosts is named."""

from typing import Any

import pytest

from preprocessing.errors import ClusterError, UserError
from training.network import Listener, reach_all
from training.survey import check_gpus, check_stores, check_versions, common_interface, found_versions


def answer(**changes: Any) -> dict[str, Any]:
    return {
        "host": "a",
        "versions": found_versions(),
        "gpus": [],
        "problem": "",
        "reached": {"b:1": ["eth0"]},
    } | changes


def test_equal_versions_pass_and_the_checksum_of_our_code_is_among_them() -> None:
    assert len(found_versions()["code of Parley"]) == 12
    check_versions([answer(), answer(host="b")])


def test_a_host_with_another_version_or_other_code_is_named() -> None:
    other = {**found_versions(), "keras": "3.0.0", "code of Parley": "0123456789ab"}
    with pytest.raises(
        UserError, match=r"^b has code of Parley 0123456789ab \(here \w+\), keras 3\.0\.0 \(here .*pack"
    ):
        check_versions([answer(), answer(host="b", versions=other)])


def test_a_host_without_a_package_is_named() -> None:
    missing = {name: version for name, version in found_versions().items() if name != "petastorm"}
    with pytest.raises(UserError, match=r"^b has petastorm missing \(here 0\.13\.1\)"):
        check_versions([answer(host="b", versions=missing)])


def test_a_gpu_that_two_tasks_of_a_host_were_given_is_named() -> None:
    check_gpus([answer(gpus=["0"]), answer(gpus=["1"]), answer(host="b", gpus=["0"])])
    with pytest.raises(UserError, match=r"^a gave GPU 1 to 2 tasks: its discovery script"):
        check_gpus([answer(gpus=["1"]), answer(gpus=["1"]), answer(host="b", gpus=["0"])])


def test_the_interface_that_all_share_is_taken() -> None:
    assert common_interface([answer(reached={"b:1": ["eth0", "eth1"]}), answer(reached={"a:1": ["eth1"]})]) == "eth1"
    assert common_interface([answer(reached={"b:1": ["eth0", "lo"]})]) == "lo"


def test_hosts_that_do_not_reach_each_other_are_named() -> None:
    with pytest.raises(ClusterError, match=r"share: a and b:1 do not reach each other: open the ports"):
        common_interface([answer(reached={"b:1": [], "driver:2": ["eth0"]})])
    with pytest.raises(ClusterError, match=r"each pair of hosts has another interface in common"):
        common_interface([answer(reached={"b:1": ["eth0"], "c:1": ["eth1"]})])


def test_two_listeners_reach_each_other_through_every_interface_that_answers() -> None:
    here, there = Listener("token"), Listener("token")
    try:
        reached = reach_all(here.card(), [there.card()])
        assert reached == {f"{there.card()['host']}:{there.card()['port']}": sorted(there.card()["addresses"])}
        nowhere = {**there.card(), "addresses": {"lo": "127.0.0.1"}, "port": 9}
        assert list(reach_all(here.card(), [nowhere]).values()) == [[]]
    finally:
        here.close()
        there.close()


def test_a_caller_without_the_token_gets_no_answer() -> None:
    here, there = Listener("token"), Listener("another")
    try:
        assert list(reach_all(here.card(), [there.card()]).values()) == [[]]
    finally:
        here.close()
        there.close()


def test_a_store_that_cannot_be_written_is_named_with_host_and_cause(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("in the way of a directory")
    with pytest.raises(UserError, match=r"^\w+ cannot write .*/file/run: \[Errno 17\] .*: choose another path"):
        check_stores([], [f"file://{tmp_path}/file/run"])
    check_stores([], [f"file://{tmp_path}/run"])
    assert [file.name for file in tmp_path.iterdir()] == ["file"], "something stayed"
