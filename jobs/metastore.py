"""Which tables a session knows by name: those of a Hive metastore, where the cluster or the configuration names one."""

from pyspark import SparkConf, SparkContext

CATALOG = "spark.sql.catalogImplementation"
SETTINGS = ("hive.metastore.uris", "javax.jdo.option.ConnectionURL")  # either says where a metastore is
HIVE = "org/apache/spark/sql/hive/HiveSessionStateBuilder.class"  # a Spark may be built without


def use_metastore(conf: SparkConf) -> None:
    """Sets Hive's metastore as the catalog if hive-site.xml or a setting names one; what the user chose stays.

    Without either Hive would make a metastore of its own, empty, in the directory where the job was started.
    """
    SparkContext._ensure_initialized(conf=conf)  # starts Java, as the session would
    assert SparkContext._jvm is not None
    loader = SparkContext._jvm.Thread.currentThread().getContextClassLoader()
    named = loader.getResource("hive-site.xml") is not None or any(
        conf.contains(prefix + name) for prefix in ("spark.hadoop.", "spark.") for name in SETTINGS
    )
    if named and loader.getResource(HIVE) is not None and not conf.contains(CATALOG):
        conf.set(CATALOG, "hive")
