#!/usr/bin/env bash
# Prints the jars that Spark needs for a store, comma-separated, fetching them unless they are in the cache:
#   fetch_connectors.sh s3      s3a://           (530 MB, most of it the AWS SDK)
#   fetch_connectors.sh azure   abfs:// abfss:// (3 MB)
# For spark.jars, or spark-submit's --jars. A cluster that has them already does not need this.
set -euo pipefail

say() { printf 'connectors: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }
. "$(dirname "$0")/cluster/maven.sh"

store=${1:-}
case $store in s3|azure) ;; *) die "'$store' is neither s3 nor azure" ;; esac
fetch_jars "the connector for $store" "$(dirname "$0")/connectors/pom.xml" "$cache/connectors-$store" -P "$store"
find "$cache/connectors-$store" -name '*.jar' | sort | paste -sd ,
