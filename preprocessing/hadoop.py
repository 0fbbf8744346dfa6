"""The driver's Hadoop configuration, as far as Python processes need it to reach the same stores."""

import os
import re
from typing import Any

from pyspark.sql import SparkSession

from preprocessing.filesystems import HadoopSettings
from preprocessing.hdfs import HDFS_DEFAULTS, log_in

# Where stores are, how to prove who one is, how much to protect.
PUBLIC = (
    r"fs\.defaultFS|fs\.viewfs\..*|dfs\.nameservices|dfs\.ha\.namenodes\..*|dfs\.namenode\.rpc-address.*"
    r"|dfs\.namenode\.kerberos\.principal.*|dfs\.client\.failover\..*|dfs\.client\.use\.datanode\.hostname"
    r"|dfs\.data\.transfer\.protection|hadoop\.rpc\.protection|hadoop\.security\.authentication"
    r"|hadoop\.security\.token\.service\.use_ip|parley\.hdfs\.client"
    r"|fs\.s3a\.(bucket\..+\.)?(endpoint|endpoint\.region|path\.style\.access|connection\.ssl\.enabled)"
    r"|fs\.azure\.(abfs\.endpoint|always\.use\.https)"
)
SECRET = r"fs\.s3a\.(bucket\..+\.)?(access\.key|secret\.key|session\.token)|fs\.azure\.account\.key(\..+)?"
# What every session starts with, as far as nothing else is said.
SPARK_DEFAULTS = {
    # Spark's own pattern lets Azure's account keys through, into the event log and the page of the environment.
    "spark.redaction.regex": r"(?i)secret|password|token|access[.]?key|account[.]?key",
    # Hadoop's connectors try again for minutes (ABFS 30 times): a store that is down or refuses shows within one.
    **{f"spark.hadoop.{name}": value for name, value in HDFS_DEFAULTS.items()},
    "spark.hadoop.fs.s3a.connection.establish.timeout": "5s",
    "spark.hadoop.fs.s3a.attempts.maximum": "2",
    "spark.hadoop.fs.s3a.retry.limit": "2",
    "spark.hadoop.fs.azure.io.retry.max.retries": "4",
}


def hadoop_configuration(spark: SparkSession) -> HadoopSettings:
    """Those settings of the driver that Python processes need, secrets of credential providers among them.

    They may travel to Python processes inside a task or a message, never in a file, a log or a command line.
    """
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    _take_environment(configuration)
    if keytab := spark.conf.get("spark.kerberos.keytab", None):
        log_in(keytab)
    found = HadoopSettings(configuration.getValByRegex(f"^({PUBLIC}|{SECRET})$"))
    jvm: Any = spark._jvm
    for provider in jvm.org.apache.hadoop.security.alias.CredentialProviderFactory.getProviders(configuration):
        for alias in provider.getAliases():
            if re.fullmatch(SECRET, alias):
                found[alias] = "".join(configuration.getPassword(alias))
    return found


def _take_environment(configuration: Any) -> None:
    """An Azure account's key from the environment into the session, as Spark itself does with AWS_ACCESS_KEY_ID."""
    account, key = (os.environ.get(f"AZURE_STORAGE_ACCOUNT_{name}") for name in ("NAME", "KEY"))
    if account and key:
        configuration.setIfUnset(f"fs.azure.account.key.{account}.dfs.core.windows.net", key)
