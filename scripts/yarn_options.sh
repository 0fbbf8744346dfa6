# Sourced by submit.sh and shell.sh: words for Spark's commands on YARN, added to the array `options`.

# add_settings FILE: the settings of a file of conf/spark, in which {home} is the checkout, the variable `home`
add_settings() {
    local key value
    while read -r key value; do
        case $key in ''|'#'*) ;; *) options+=(--conf "$key=${value//\{home\}/$home}") ;; esac
    done < "$1"
}

# add_environment PYTHON: what PARLEY_ENVIRONMENT names, unpacked by every container; without it PYTHON is on every node
add_environment() {
    if [ -n "${PARLEY_ENVIRONMENT:-}" ]; then
        options+=(--archives "$PARLEY_ENVIRONMENT#environment" --conf spark.pyspark.python=./environment/bin/python)
    else
        options+=(--conf "spark.pyspark.python=$1")
    fi
}

# add_jars SPARK: every node of a laptop cluster has the jars of our own pyspark, which is in the directory SPARK; a real
# cluster says in its spark-defaults.conf where they are.
add_jars() {
    if [ "${SPARK_HOME:-}" = "$1" ]; then options+=(--conf "spark.yarn.jars=local:$1/jars/*"); fi
}

# add_driver PYTHON: the interpreter and the log of a driver on this machine; in cluster mode they are the container's
add_driver() {
    options+=(--conf "spark.pyspark.driver.python=$1")
    options+=(--driver-java-options "-Dlog4j2.configurationFile=file:$home/conf/log4j2.properties")
}
