#!/usr/bin/env bash
# A real Apache Kafka 4 on loopback, for the tests and for `make kafka-up` / `make kafka-down`.
#
#   kafka.sh fetch                  fetches the broker from Maven Central, once; prints the folder
#   kafka.sh start DIR [NODES]      starts NODES (1) combined KRaft nodes; returns when they answer; prints bootstrap.servers
#   kafka.sh kill  DIR NODE [SIG]   sends a signal (KILL) to a node: KILL, TERM, STOP, CONT
#   kafka.sh up    DIR NODE         starts a killed node again, with its data; returns when it answers
#   kafka.sh fill  DIR NODE         the node can't write any more, as on a full disk; returns when it has ended; `up` gives it room
#   kafka.sh lose  DIR NODE         kills a node and removes its data
#   kafka.sh replace DIR NODE       starts an empty node in the place of a lost one; returns when it answers
#   kafka.sh stop  DIR              stops all nodes; their data stays, and `start` continues with it
#   kafka.sh remove DIR             stops all nodes and removes DIR, if this script made it
#   kafka.sh serve DIR [NODES]      `start`, then `remove` as soon as standard input ends: when the caller closes it or
#                                   dies, however it dies. A file DIR/keep keeps the nodes' logs.
#
#   make kafka-up:    tests/support/kafka/kafka.sh start  "${KAFKA_DIR:-.kafka}" 1
#   make kafka-down:  tests/support/kafka/kafka.sh remove "${KAFKA_DIR:-.kafka}"
#
# Environment: KAFKA_HOME   where the broker's jars lie (${XDG_CACHE_HOME:-~/.cache}/synthllm/kafka-VERSION)
#              BASE_PORT    node I listens on BASE_PORT+I (19090), its controller on BASE_PORT+100+I; kept in DIR
#              ADV_PORT_BASE  node I has one more listener, on BASE_PORT+200+I, whose clients are told ADV_PORT_BASE+I instead, so
#                           that a TCP proxy may stand there; the nodes themselves and other clients don't come by the proxy
#              HEAP         memory of each node's Java heap (512m)
#              WAIT         seconds until `start` and `up` give up (90)
# A node's log is DIR/nodeI/log, its process id DIR/nodeI/pid.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
home=${KAFKA_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/synthllm/kafka-$version}
cluster_id=c3ludGhsbG0tdGVzdHMtMQ
marker=.synthllm-kafka

fail() { echo "kafka.sh: $*" >&2; exit 1; }

# Java and Maven, from the distribution when this may install them.
need_tools() {
    local missing=()
    command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
    { [ -d "$home/libs" ] || command -v mvn >/dev/null; } || missing+=(maven)
    [ ${#missing[@]} -eq 0 ] && return
    local install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing ${missing[*]}" >&2
        DEBIAN_FRONTEND=noninteractive sh -c "$install" >&2 || fail "can't install ${missing[*]}"
    else
        fail "Java 17 and Maven are needed; install them with: sudo sh -c '$install'"
    fi
}

# The jars come into a folder of their own first, so that a broken download is never taken for a whole one.
fetch() {
    need_tools
    if [ ! -d "$home/libs" ]; then
        mkdir -p "$home"
        exec 9>"$home/lock" && flock 9
        if [ ! -d "$home/libs" ]; then
            echo "fetching Apache Kafka $version into $home" >&2
            local part; part=$(mktemp -d "$home/part-XXXXXX")
            mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$part" >&2 ||
                { rm -rf "$part"; fail "Maven can't fetch Apache Kafka $version"; }
            mv "$part" "$home/libs"
        fi
        exec 9>&-
    fi
    echo "$home"
}

# Asks a port for its metadata (version 4, no topics) and prints how many brokers are named in the answer: only brokers
# that are registered and unfenced are, so a number says more than an open port.
brokers_seen_by() {
    local reply
    reply=$(
        exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" || exit 0
        printf '\x00\x00\x00\x0f\x00\x03\x00\x04\x00\x00\x00\x07\xff\xff\x00\x00\x00\x00\x00' >&3
        timeout 2 head -c 16 <&3 | od -An -v -tx1 | tr -d ' \n'
    ) || true
    [ ${#reply} -eq 32 ] && echo $((16#${reply:24:8})) || echo 0
}

node_count() { find "$1" -maxdepth 1 -name 'node*' -type d | wc -l; }
base_port() { cat "$1/base-port"; }
is_running() { [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

# Waits until the node knows at least `wanted` brokers.
wait_for() {
    local dir=$1 node=$2 wanted=$3 deadline=$((SECONDS + ${WAIT:-90}))
    local port=$(($(base_port "$dir") + node))
    while [ "$(brokers_seen_by "$port")" -lt "$wanted" ]; do
        is_running "$dir/node$node" || { tail -n 20 "$dir/node$node/log" >&2; fail "node $node ended; its log: $dir/node$node/log"; }
        [ $SECONDS -lt $deadline ] || fail "node $node does not answer on port $port; its log: $dir/node$node/log"
        sleep 0.1
    done
}

write_properties() {
    local dir=$1 node=$2 nodes=$3 base=$4 voters=$5 proxied=${ADV_PORT_BASE:-}
    local replicas=$((nodes >= 3 ? 3 : 1)) in_sync=$((nodes >= 3 ? 2 : 1))
    # A single node has nobody to hand its partitions to: it is not to fence itself while the disk is slow.
    # Well below the minute after which a node that was killed gives up registering again: its old session must end first.
    local session=$((nodes > 1 ? 6000 : 20000))
    cat >"$dir/node$node/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$((base + node)),CONTROLLER://127.0.0.1:$((base + 100 + node))${proxied:+,PROXIED://127.0.0.1:$((base + 200 + node))}
advertised.listeners=PLAINTEXT://127.0.0.1:$((base + node))${proxied:+,PROXIED://127.0.0.1:$((proxied + node))}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
log.dirs=$dir/node$node/data
default.replication.factor=$replicas
min.insync.replicas=$in_sync
auto.create.topics.enable=false
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# Small steps of the cleaner, so that tests of compaction see it at work.
log.cleaner.backoff.ms=500
log.cleaner.threads=1
log.retention.check.interval.ms=2000
log.initial.task.delay.ms=500
log.segment.delete.delay.ms=1000
broker.session.timeout.ms=$session
num.network.threads=2
num.io.threads=4
PROPERTIES
}

launch() {
    local node=$1/node$2
    is_running "$node" && return
    setsid java -Xms256m -Xmx"${HEAP:-512m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/log4j2.properties" \
        -cp "$home/libs/*" kafka.Kafka "$node/server.properties" >>"$node/log" 2>&1 </dev/null 9>&- &
    echo $! >"$node/pid"
    disown
}

# DIR becomes an absolute path, and must be new, empty, or made by this script.
claim_dir() {
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    [ -e "$dir/$marker" ] || [ -z "$(ls -A "$dir")" ] || fail "$dir is not empty and was not made by kafka.sh"
    touch "$dir/$marker"
}

format_node() {
    local node=$1/node$2
    java -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$home/libs/*" \
        kafka.tools.StorageTool format -t "$cluster_id" -c "$node/server.properties" >"$node/format.log" 2>&1 ||
        { cat "$node/format.log" >&2; fail "can't format node $2"; }
}

format() {
    local dir=$1 nodes=$2 base=$3 voters='' node
    for node in $(seq 1 "$nodes"); do voters+="${voters:+,}$node@127.0.0.1:$((base + 100 + node))"; done
    echo "$base" >"$dir/base-port"
    for node in $(seq 1 "$nodes"); do
        mkdir -p "$dir/node$node"
        write_properties "$dir" "$node" "$nodes" "$base" "$voters"
        format_node "$dir" "$node"
    done
}

start() {
    local nodes=${2:-1} node bootstrap=''
    fetch >/dev/null
    claim_dir "$1"
    [ -e "$dir/base-port" ] || format "$dir" "$nodes" "${BASE_PORT:-19090}"
    nodes=$(node_count "$dir")
    for node in $(seq 1 "$nodes"); do launch "$dir" "$node"; done
    for node in $(seq 1 "$nodes"); do
        wait_for "$dir" "$node" "$nodes"
        bootstrap+="${bootstrap:+,}127.0.0.1:$(($(base_port "$dir") + node))"
    done
    echo "$bootstrap"
}

# Returns after the node is gone, when the signal is one that ends it.
signal_node() {
    kill -"$2" "$(cat "$1/pid")"
    case $2 in KILL | TERM) while is_running "$1"; do sleep 0.05; done ;; esac
}

# No file of the node may grow: a write fails, and Java does not mind the signal that comes with it.
fill_node() {
    local deadline=$((SECONDS + ${WAIT:-90}))
    prlimit --pid "$(cat "$1/pid")" --fsize=1:
    while is_running "$1"; do
        [ $SECONDS -lt $deadline ] || fail "the node goes on without room; its log: $1/log"
        sleep 0.1
    done
}

lose_node() {
    signal_node "$1" KILL
    rm -rf "$1/data"
}

stop() {
    local signal=${2:-TERM} node
    for node in "$1"/node*/; do
        is_running "$node" || continue
        kill -CONT "$(cat "$node/pid")" 2>/dev/null || true
        kill -"$signal" "$(cat "$node/pid")" 2>/dev/null || true
    done
    for node in "$1"/node*/; do
        while is_running "$node"; do sleep 0.05; done
        rm -f "$node/pid"
    done
}

remove() {
    [ -e "$1" ] || return 0
    [ -e "$1/$marker" ] || fail "$1 was not made by kafka.sh"
    stop "$1" KILL
    if [ -e "$1/keep" ]; then
        rm -rf "$1"/node*/data
        echo "kafka.sh: the nodes' logs are kept in $1" >&2
    else
        rm -rf "$1"
    fi
}

serve() {
    trap '' INT
    trap 'remove "$dir"' EXIT
    claim_dir "$1"
    start "$dir" "${2:-1}"
    cat >/dev/null
}

command=${1:-}
case $command in
fetch) fetch ;;
start | serve) "$command" "${2:?DIR is missing}" "${3:-1}" ;;
kill) signal_node "${2:?DIR is missing}/node${3:?NODE is missing}" "${4:-KILL}" ;;
fill | lose) "${command}_node" "${2:?DIR is missing}/node${3:?NODE is missing}" ;;
replace) format_node "${2:?DIR is missing}" "${3:?NODE is missing}" && launch "$2" "$3" && wait_for "$2" "$3" 1 ;;
up) launch "${2:?DIR is missing}" "${3:?NODE is missing}" && wait_for "$2" "$3" 1 ;;
stop | remove) "$command" "${2:?DIR is missing}" ;;
*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
