"""The driver's Hadoop configuration, as far as Python processes need it to reach the same stores."""

from pyspark.sql import SparkSession

# Where name nodes are, how to prove who one is, how much to protect; never a key, token or password.
PREFIXES = (
    "fs.defaultFS",
    "fs.viewfs.",
    "dfs.nameservices",
    "dfs.ha.namenodes.",
    "dfs.namenode.rpc-address",
    "dfs.namenode.kerberos.principal",
    "dfs.client.failover.",
    "dfs.client.use.datanode.hostname",
    "dfs.data.transfer.protection",
    "hadoop.rpc.protection",
    "hadoop.security.authentication",
    "hadoop.security.token.service.use_ip",
)


def hadoop_configuration(spark: SparkSession) -> dict[str, str]:
    """Those settings of the driver that begin with one of PREFIXES."""
    entries = spark.sparkContext._jsc.hadoopConfiguration().iterator()
    found: dict[str, str] = {}
    while entries.hasNext():
        entry = entries.next()
        if entry.getKey().startswith(PREFIXES):
            found[entry.getKey()] = entry.getValue()
    return found
