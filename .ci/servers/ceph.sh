#!/usr/bin/env bash
# Ceph on one machine: monitor, one OSD in memory, RADOS gateway: S3 on 127.0.0.1:19003 (admin / 12345678, bucket "aquifer").
# usage: ceph.sh start|stop HOME_DIR
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$0")/lib.sh"
arguments "$@"
[[ $ACTION == start ]] || { stop_all; exit 0; }

gateway=19003 monitor=16789
port_is_free $gateway
port_is_free $monitor
command -v curl >/dev/null || need_packages curl
need_packages ceph-mon ceph-osd ceph-common radosgw

cluster=$(</proc/sys/kernel/random/uuid)
conf=$HOME_DIR/ceph.conf
mkdir -p "$HOME_DIR"/{mon,osd,gateway,run,log}
cat >"$conf" <<CONF
[global]
fsid = $cluster
mon host = v1:127.0.0.1:$monitor
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
ms bind port min = 16800
ms bind port max = 16900
# No authentication inside: everything is on this machine.
auth cluster required = none
auth service required = none
auth client required = none
auth supported = none
keyring = $HOME_DIR/keyring
run dir = $HOME_DIR/run
admin socket = $HOME_DIR/run/\$name.asok
pid file = $HOME_DIR/run/\$name.pid
log file = $HOME_DIR/log/\$name
# One copy on one OSD.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail warn = 1
mon data avail crit = 1
[mon]
mon data = $HOME_DIR/mon
[osd]
osd data = $HOME_DIR/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd max object name len = 256
# An OSD that has not heard the cluster's id yet fails at these: its place is set below instead.
osd class update on start = false
osd crush update on start = false
[client.gateway]
rgw data = $HOME_DIR/gateway
# Without tcp_nodelay small ranged reads on kept connections wait 44 ms.
rgw frontends = beast endpoint=127.0.0.1:$gateway tcp_nodelay=1
rgw thread pool size = 64
rgw enable usage log = false
CONF
printf '[mon.]\n\tkey = AQBvaG5kAAAAABAAbm90LWEtc2VjcmV0LWtleQ==\n' >"$HOME_DIR/keyring"

monmaptool --create --clobber --fsid "$cluster" --addv a "[v1:127.0.0.1:$monitor]" "$HOME_DIR/monmap" >"$HOME_DIR/log/monmap"
ceph-mon -c "$conf" --mkfs -i a --monmap "$HOME_DIR/monmap" >"$HOME_DIR/log/mkfs-mon" 2>&1 || show_logs "cannot make the monitor"
spawn mon ceph-mon -c "$conf" -i a -f
osd=$(</proc/sys/kernel/random/uuid)
ceph -c "$conf" --connect-timeout 60 osd new "$osd" >"$HOME_DIR/log/osd-new" 2>&1 || show_logs "the monitor takes no OSD"
ceph -c "$conf" --connect-timeout 60 osd crush add osd.0 1 root=default host=one >"$HOME_DIR/log/osd-place" 2>&1 || show_logs "the OSD gets no place"
ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd" >"$HOME_DIR/log/mkfs-osd" 2>&1 || show_logs "cannot make the OSD"
spawn osd ceph-osd -c "$conf" -i 0 -f
osd_is_up() { timeout 10 ceph -c "$conf" osd stat | grep -q '1 up'; }
wait_until 60 "OSD" osd_is_up
spawn gateway radosgw -c "$conf" -n client.gateway -f
answers() { curl --silent --output /dev/null --max-time 2 "http://127.0.0.1:$gateway/"; }
wait_until 120 "answer of the gateway" answers
timeout 60 radosgw-admin -c "$conf" -n client.gateway user create --uid=aquifer --display-name=aquifer --access-key=admin --secret-key=12345678 \
    >"$HOME_DIR/log/user" 2>&1 || show_logs "cannot make the user"
empty=$(sha256sum </dev/null | cut -d' ' -f1)
# The first bucket waits until the gateway's pools are there.
make_bucket() {
    curl --silent --fail --max-time 15 --aws-sigv4 aws:amz:us-east-1:s3 --user admin:12345678 --header "x-amz-content-sha256: $empty" \
        --request PUT "http://127.0.0.1:$gateway/aquifer"
}
wait_until 90 bucket make_bucket
say "up: S3 on $gateway"
