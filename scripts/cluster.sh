#!/usr/bin/env bash
# A real Hadoop on this machine: NameNode, DataNode, ResourceManager and two NodeManagers, all on 127.0.0.1.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/cluster.sh start | stop [--wipe] | status

  start    starts what does not run yet and waits until jobs can be submitted; the one line on standard
           output is for the shell:  eval "$(scripts/cluster.sh start)"
  stop     ends daemons and containers; files in HDFS and logs stay for the next start
  stop --wipe   also deletes the cluster's directory, with everything in HDFS
  status   what runs, where; exit status 0 if all of it is up, 3 if not

  PARLEY_CLUSTER             the cluster's directory (default: data/cluster)
  PARLEY_CLUSTER_PORT_BASE   the first of its 16 ports (default: 19000)
  PARLEY_CLUSTER_MEMORY      megabytes that each NodeManager hands out (default: 5120)
  PARLEY_CACHE               where Hadoop is kept once it has been fetched (default: ~/.cache/parley)
USAGE
}
say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

root=$(realpath "$(dirname "$0")/..")
state=$(realpath -m "${PARLEY_CLUSTER:-$root/data/cluster}")
conf="$state/conf"
base=${PARLEY_CLUSTER_PORT_BASE:-19000}
memory=${PARLEY_CLUSTER_MEMORY:-5120}
java=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v java || echo /)")")")}
daemons=(namenode datanode resourcemanager nodemanager1 nodemanager2)
declare -A born=()

# The ports, counted from the base in the order of write_settings; for each daemon its address, its web page, the rest.
port() { echo $((base + $1)); }
ports_of() {
    case $1 in
        namenode) echo "$(port 0) $(port 1)" ;;
        datanode) echo "$(port 2) $(port 4) $(port 3)" ;;
        resourcemanager) echo "$(port 5) $(port 9) $(port 6) $(port 7) $(port 8)" ;;
        nodemanager1) echo "$(port 10) $(port 12) $(port 11)" ;;
        nodemanager2) echo "$(port 13) $(port 15) $(port 14)" ;;
    esac
}

check_settings() {
    [[ ! $state =~ [[:space:],\&\<\>\|\'\"\$] ]] \
        || die "'$state' cannot be in Hadoop's settings: set PARLEY_CLUSTER to a path of plain characters"
    [[ $base =~ ^[0-9]{4,5}$ && $base -ge 1024 && $base -le 65520 ]] \
        || die "PARLEY_CLUSTER_PORT_BASE is '$base': give a number from 1024 to 65520"
    [[ $memory =~ ^[0-9]{3,6}$ && $memory -ge 1024 ]] \
        || die "PARLEY_CLUSTER_MEMORY is '$memory': give megabytes for each NodeManager, 1024 or more"
}

# A daemon is known by its command line, so neither a stale pid file nor a deleted directory can mislead.
# shellcheck disable=SC2062    # the pattern comes from standard input, or grep would find itself
pid_of() { grep -lzsxF --file=- /proc/[0-9]*/cmdline <<<"-Dparley.daemon=$state/$1" | sed -n '1s|/proc/\([0-9]*\)/.*|\1|p' || true; }
# A zombie has ended too: in some containers nobody ever collects it.
alive() { kill -0 "$1" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$1/status"; }
running() { for name in "${daemons[@]}"; do pid_of "$name"; done; }
# Containers carry their NodeManager's directory in LOCAL_DIRS and outlive it if it is killed.
containers_of() { grep -lzsF -e "LOCAL_DIRS=$state/$1" /proc/[0-9]*/environ | sed 's|/proc/\([0-9]*\)/.*|\1|' || true; }

end() { # end SECONDS PID...: asks the processes to end, and after so many seconds makes them
    local tries=$(($1 * 5)) pid left=()
    shift
    kill "$@" 2>/dev/null || true
    while [ $# -gt 0 ]; do
        left=()
        for pid in "$@"; do ! alive "$pid" || left+=("$pid"); done
        set -- ${left[@]+"${left[@]}"}
        [ $((tries--)) -gt 0 ] || { kill -9 "$@" 2>/dev/null || true; tries=25; }
        [ $# = 0 ] || sleep 0.2
    done
}

end_containers() { # of all NodeManagers, or of the one named
    local left
    while left=$(containers_of "${1:-nodemanager}") && [ -n "$left" ]; do
        mapfile -t left <<<"$left"
        end 0 "${left[@]}"
    done
}

stop() {
    local pids=()
    mapfile -t pids < <(pid_of nodemanager1; pid_of nodemanager2)
    end 10 ${pids[@]+"${pids[@]}"}    # first: a NodeManager ends its containers itself
    end_containers
    mapfile -t pids < <(running)
    end 10 ${pids[@]+"${pids[@]}"}
    [ ! -e "$state/port-base" ] || rm -rf "$state"/nodemanager[12] "$state/tmp"
}

write_settings() {
    local file n words=("s|@STATE@|$state|; s|@USER@|$(id -un)|; s|@MEMORY@|$memory|") names=(NAMENODE NAMENODE_WEB DATANODE
        DATANODE_IPC DATANODE_WEB RESOURCEMANAGER RM_SCHEDULER RM_TRACKER RM_ADMIN RM_WEB)
    for n in "${!names[@]}"; do words+=("; s|@${names[n]}@|$(port "$n")|"); done
    mkdir -p "$conf" "$state/logs"
    for file in "$root"/scripts/cluster/*-site.xml "$root"/scripts/cluster/{capacity-scheduler.xml,log4j.properties}; do
        sed "${words[*]}" "$file" >"$conf/$(basename "$file")"
    done
    echo "$base" >"$state/port-base"
}

hadoop() { # hadoop NAME MEGABYTES CLASS [ARGUMENT...]: a bare environment, because containers inherit their daemon's
    local name=$1 heap=$2
    shift 2
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$HOME" USER="$(id -un)" \
        LANG="${LANG:-C.UTF-8}" JAVA_HOME="$java" HADOOP_CONF_DIR="$conf" SPARK_LOCAL_IP=127.0.0.1 \
        setsid "$java/bin/java" "-Dparley.daemon=$state/$name" "-Xmx${heap}m" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Djava.net.preferIPv4Stack=true "-Dhadoop.home.dir=$state" "-Dhadoop.log.dir=$state/logs" \
        --add-opens=java.base/java.lang=ALL-UNNAMED \
        -cp "$conf:$jars/*" "$@" >"$state/logs/$name.log" 2>&1 </dev/null 9<&-
}

launch() {
    local name=$1 node ports
    read -ra ports <<<"$(ports_of "$name")"
    node=org.apache.hadoop.yarn.server
    case $name in
        namenode) hadoop "$name" 256 org.apache.hadoop.hdfs.server.namenode.NameNode & ;;
        datanode) hadoop "$name" 192 org.apache.hadoop.hdfs.server.datanode.DataNode & ;;
        resourcemanager) hadoop "$name" 384 $node.resourcemanager.ResourceManager & ;;
        nodemanager*)
            end_containers "$name"    # of a NodeManager that was killed
            hadoop "$name" 256 $node.nodemanager.NodeManager -D yarn.nodemanager.address="127.0.0.1:${ports[0]}" \
                -D yarn.nodemanager.webapp.address="127.0.0.1:${ports[1]}" \
                -D yarn.nodemanager.localizer.address="127.0.0.1:${ports[2]}" \
                -D yarn.nodemanager.local-dirs="$state/$name" -D yarn.nodemanager.log-dirs="$state/logs/$name" & ;;
    esac
    born[$name]=$!
    disown
}

check_port() { # check_port NUMBER DAEMON
    local holder
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
    holder=$(ss -ltnpH "sport = :$1" 2>/dev/null | sed -n 's/.*(("\([^"]*\)",pid=\([0-9]*\).*/\1, pid \2/p;q' || true)
    die "port $1 (for the $2) is taken by ${holder:-another process}: stop it, or set PARLEY_CLUSTER_PORT_BASE (now $base)"
}

page() { curl --noproxy '*' -sf --max-time 5 "http://127.0.0.1:$(port "$1")/$2"; }

missing() { # what keeps the cluster from taking jobs; nothing if it is ready
    local names nodes web
    names=$(page 1 'jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState') || { echo "the NameNode does not answer"; return; }
    [[ $names == *'"FSState" : "Operational"'* ]] || { echo "HDFS is in safe mode"; return; }
    [[ $names == *'"NumLiveDataNodes" : 1,'* ]] || { echo "no DataNode has reported"; return; }
    nodes=$(page 9 ws/v1/cluster/metrics) || { echo "the ResourceManager does not answer"; return; }
    [[ $nodes == *'"activeNodes":2,'* ]] || { echo "not both NodeManagers have reported"; return; }
    # One that was killed and started again still counts as active from before.
    for web in 12 15; do
        [[ $(page "$web" ws/v1/node/info) == *'"nodeHealthy":true'* ]] || { echo "a NodeManager is not up yet"; return; }
    done
}

wait_until_ready() {
    local name gap last=
    until gap=$(missing) && [ -z "$gap" ]; do
        [ "$gap" = "$last" ] || say "waiting: $gap"
        last=$gap
        for name in "${daemons[@]}"; do
            [ -n "$(pid_of "$name")" ] || alive "${born[$name]:-}" || {
                tail -n 20 "$state/logs/$name.log" >&2
                say "the $name ended: its log is $state/logs/$name.log"
                exit 1
            }
        done
        [ $SECONDS -lt "$1" ] || { say "not ready after two minutes ($gap): logs are in $state/logs"; exit 1; }
        sleep 0.5
    done
}

start() {
    local name number fresh absent=()
    fresh=$([ -n "$(running)" ] || echo yes)
    for name in "${daemons[@]}"; do [ -n "$(pid_of "$name")" ] || absent+=("$name"); done
    if [ ${#absent[@]} -gt 0 ]; then
        command -v curl >/dev/null || die "curl is missing: install it, then run this again"
        getent hosts "$(uname -n)" >/dev/null || die "the host name $(uname -n) has no address: add '127.0.0.1 $(uname -n)' to /etc/hosts"
        "$java/bin/java" -version 2>/dev/null || die "no Java at '$java': run scripts/setup.sh, or set JAVA_HOME"
        for name in "${absent[@]}"; do for number in $(ports_of "$name"); do check_port "$number" "$name"; done; done
        jars=$("$root/scripts/cluster/fetch_hadoop.sh" 9<&-)
        trap 'exit 130' INT TERM
        if [ -n "$fresh" ]; then
            trap stop EXIT    # unless it becomes ready
            write_settings
            if [ ! -e "$state/hdfs/name/current/VERSION" ]; then
                rm -rf "$state/hdfs"
                (hadoop format 256 org.apache.hadoop.hdfs.server.namenode.NameNode -format -nonInteractive) \
                    || { tail -n 20 "$state/logs/format.log" >&2; say "HDFS could not be formatted"; exit 1; }
            fi
        fi
        say "starting ${absent[*]}"
        for name in "${absent[@]}"; do launch "$name"; done
    fi
    wait_until_ready $((SECONDS + 120))
    trap - EXIT INT TERM
    curl --noproxy '*' -sf -X PUT "http://127.0.0.1:$(port 1)/webhdfs/v1/user/$(id -un)?op=MKDIRS&user.name=$(id -un)" >/dev/null
    curl --noproxy '*' -sf -X PUT "http://127.0.0.1:$(port 1)/webhdfs/v1/tmp?op=MKDIRS&permission=1777&user.name=$(id -un)" >/dev/null
    say "ready after $SECONDS s: web pages at http://127.0.0.1:$(port 1) (HDFS) and http://127.0.0.1:$(port 9) (YARN)"
    printf 'export HADOOP_CONF_DIR=%q\n' "$conf"
}

status() {
    local name pid ports gap all=0
    for name in "${daemons[@]}"; do
        pid=$(pid_of "$name")
        read -ra ports <<<"$(ports_of "$name")"
        [ -n "$pid" ] || all=3
        printf '%-16s %-4s %-12s 127.0.0.1:%s  http://127.0.0.1:%s\n' \
            "$name" "$([ -n "$pid" ] && echo up || echo down)" "${pid:+pid $pid}" "${ports[0]}" "${ports[1]}"
    done
    [ $all = 3 ] || { gap=$(missing); [ -z "$gap" ] || { all=3; say "$gap"; }; }
    exit $all
}

case $* in
    start | status | stop | 'stop --wipe') ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac
if [ -n "$(running)" ] && [ -e "$state/port-base" ]; then base=$(cat "$state/port-base"); fi
check_settings
[ "$1" != status ] || status
exec 9<"$root/scripts/cluster/pom.xml"
flock -n 9 || { say "waiting for another start or stop"; flock -w 300 9 || die "another start or stop has been at work for five minutes"; }
if [ "$1" = start ]; then
    if [ -n "$(running)" ] && [ ! -e "$state/port-base" ]; then
        say "the directory of a running cluster was deleted: ending that cluster first"
        stop
    fi
    start
else
    stop
    if [ "${2:-}" = --wipe ] && [ -e "$state/port-base" ]; then rm -rf "$state"/{conf,hdfs,logs,port-base}; rmdir "$state"; fi
    say "stopped"
fi
