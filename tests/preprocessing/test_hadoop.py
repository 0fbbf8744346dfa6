"""What Python processes get of the driver's Hadoop configuration, and from where secrets may come."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.config import load_config
from preprocessing.errors import UserError
from preprocessing.filesystems import _azure_options, _s3_options, use_hadoop_configuration
from preprocessing.hadoop import SPARK_DEFAULTS, hadoop_configuration

HOST = "shop.dfs.core.windows.net"


@pytest.fixture
def configuration(spark: SparkSession) -> Iterator[Any]:
    """The session's Hadoop configuration, which is as before after the test."""
    own = spark.sparkContext._jsc.hadoopConfiguration()
    before = spark._jvm.org.apache.hadoop.conf.Configuration(own)
    yield own
    own.clear()
    for name, value in dict(before.getValByRegex(".")).items():
        own.set(name, value)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    use_hadoop_configuration({})


@pytest.mark.spark
def test_what_is_needed_travels_and_nothing_else(spark: SparkSession, configuration: Any) -> None:
    wanted = {
        "fs.s3a.endpoint": "store:9000", "fs.s3a.bucket.a.b.secret.key": "hidden", "fs.s3a.access.key": "name",
        f"fs.azure.account.key.{HOST}": "hidden", "dfs.nameservices": "one",
    }  # fmt: skip
    others = {"fs.s3a.encryption.key": "x", "ssl.server.keystore.password": "x", "fs.s3a.endpoint.fips": "x"}
    for name, value in {**wanted, **others}.items():
        configuration.set(name, value)
    found = hadoop_configuration(spark)
    assert wanted.items() <= found.items() and not others.keys() & found.keys()
    assert "hidden" not in f"{found!r} {found} {[found]}" and "hidden" not in repr(pickle.loads(pickle.dumps(found)))


@pytest.mark.spark
def test_secrets_of_a_credential_provider_travel(spark: SparkSession, configuration: Any, tmp_path: Path) -> None:
    configuration.set("hadoop.security.credential.provider.path", f"jceks://file{tmp_path}/keys.jceks")
    factory = spark._jvm.org.apache.hadoop.security.alias.CredentialProviderFactory
    store = factory.getProviders(configuration)[0]
    array = spark.sparkContext._gateway.new_array(spark._jvm.char, 3)
    for place, letter in enumerate("키!x"):
        array[place] = letter
    for name in ("fs.s3a.secret.key", "ssl.server.keystore.password"):
        store.createCredentialEntry(name, array)
    store.flush()
    found = hadoop_configuration(spark)
    assert found["fs.s3a.secret.key"] == "키!x" and "ssl.server.keystore.password" not in found


@pytest.mark.spark
def test_the_key_of_an_azure_account_comes_from_the_environment(
    spark: SparkSession, configuration: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "hidden")
    assert hadoop_configuration(spark)[f"fs.azure.account.key.{HOST}"] == "hidden"
    assert configuration.get(f"fs.azure.account.key.{HOST}") == "hidden"  # Spark's side of it


def test_a_buckets_own_settings_come_first() -> None:
    use_hadoop_configuration({
        "fs.s3a.endpoint": "store:9000", "fs.s3a.connection.ssl.enabled": "false", "fs.s3a.access.key": "all",
        "fs.s3a.bucket.mine.endpoint": "https://other", "fs.s3a.bucket.mine.access.key": "mine",
        "fs.s3a.path.style.access": "true",
    })  # fmt: skip
    assert [(_s3_options(bucket)["endpoint_url"], _s3_options(bucket)["key"]) for bucket in ("mine", "yours")] == [
        ("https://other", "mine"), ("http://store:9000", "all")
    ]  # fmt: skip
    assert _s3_options("mine")["config_kwargs"] == {"s3": {"addressing_style": "path"}}
    use_hadoop_configuration({"fs.s3a.endpoint": "s3.amazonaws.com"})
    assert not any(_s3_options("mine").values())


@pytest.mark.parametrize(("scheme", "address"), [("abfs", "http://here:1/shop"), ("abfss", "https://here:1/shop")])
def test_azure_is_plain_only_where_the_scheme_allows_it(scheme: str, address: str) -> None:
    assert _azure_options(scheme, HOST) == {"account_name": "shop", "anon": False}
    use_hadoop_configuration({f"fs.azure.account.key.{HOST}": "k"})
    assert _azure_options(scheme, HOST) == {"account_name": "shop", "account_key": "k"}
    use_hadoop_configuration({
        f"fs.azure.account.key.{HOST}": "k", "fs.azure.abfs.endpoint": "here:1", "fs.azure.always.use.https": "false",
    })  # fmt: skip
    assert _azure_options(scheme, HOST)["connection_string"].endswith(f"BlobEndpoint={address}")


@pytest.mark.parametrize("key", ["fs.s3a.secret.key", "fs.s3a.bucket.a.access.key", f"fs.azure.account.key.{HOST}"])
def test_a_configuration_takes_no_secret(key: str) -> None:
    with pytest.raises(UserError, match=r"is a secret.*take it out") as refusal:
        load_config(None, [f"spark.hadoop.{key}=hidden"])
    assert "hidden" not in str(refusal.value)
    assert load_config(None, ["spark.hadoop.fs.s3a.endpoint=x"]).spark.conf


@pytest.mark.spark
def test_event_logs_show_no_secret(spark: SparkSession) -> None:
    redacted = spark._jvm.java.util.regex.Pattern.compile(SPARK_DEFAULTS["spark.redaction.regex"])
    for name in ("fs.s3a.secret.key", "fs.s3a.access.key", "fs.s3a.session.token", f"fs.azure.account.key.{HOST}"):
        assert redacted.matcher(f"spark.hadoop.{name}").find(), name
