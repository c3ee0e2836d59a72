# Shared by the scripts that start real servers: loud failures, bounded waits, process ids in HOME_DIR/*.pid.
# Downloads are kept in $CACHE, outside the repository.

CACHE=${AQUIFER_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aquifer-ci}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

# usage: script start|stop HOME_DIR; sets ACTION and HOME_DIR
arguments() {
    ACTION=${1:-}
    HOME_DIR=${2:-}
    [[ $ACTION =~ ^(start|stop)$ && -n $HOME_DIR ]] || { echo "usage: $0 start|stop HOME_DIR" >&2; exit 2; }
    mkdir -p "$HOME_DIR" "$CACHE"
    HOME_DIR=$(cd "$HOME_DIR" && pwd)
}

# Installs the Debian packages that are missing.
need_packages() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    [[ $(id -u) == 0 ]] || fail "these packages are missing and only root can install them: apt-get install ${missing[*]}"
    local log=$HOME_DIR/apt.log
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -o DPkg::Lock::Timeout=240 update >"$log" 2>&1 \
        || { tail -5 "$log" >&2; fail "apt-get update: is the Debian package registry reachable?"; }
    DEBIAN_FRONTEND=noninteractive timeout 400 apt-get -o DPkg::Lock::Timeout=240 install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 \
        || { tail -5 "$log" >&2; fail "apt-get install ${missing[*]}: is the Debian package registry reachable?"; }
}

# A Python environment of our own, so that pip touches nothing of the machine's. Further arguments are installed into it.
need_pip() {
    command -v python3 >/dev/null || need_packages python3 python3-venv
    if [[ ! -x $CACHE/python/bin/pip ]]; then
        python3 -m venv "$CACHE/python" || { need_packages python3-venv; python3 -m venv "$CACHE/python"; } \
            || fail "cannot make a Python environment in $CACHE/python"
    fi
    (($# == 0)) || timeout 200 "$CACHE/python/bin/pip" install --quiet "$@" >&2 \
        || fail "pip install $*: is the Python package registry reachable?"
}

# usage: port_is_free PORT: refuses to start beside a server that is not ours.
port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || fail "port $1 of 127.0.0.1 is in use: end what listens there"
}

# usage: spawn NAME COMMAND...: runs a server, its id in NAME.pid and its output in NAME.out.
spawn() {
    local name=$1
    shift
    "$@" >"$HOME_DIR/$name.out" 2>&1 </dev/null &
    echo $! >"$HOME_DIR/$name.pid"
}

# usage: wait_until SECONDS WHAT COMMAND...: fails loudly, with the end of every log, when the time is over.
wait_until() {
    local until=$((SECONDS + $1)) what=$2 pid
    shift 2
    until "$@" >/dev/null 2>&1; do
        for pid in "$HOME_DIR"/*.pid; do
            kill -0 "$(<"$pid")" 2>/dev/null || show_logs "$(basename "$pid" .pid) has ended"
        done
        ((SECONDS < until)) || show_logs "no $what in time"
        sleep 0.2
    done
}

show_logs() {
    local log
    for log in "$HOME_DIR"/*.out "$HOME_DIR"/*.log "$HOME_DIR"/log/*; do
        [[ ! -s $log ]] || { echo "--- $log"; tail -n 15 "$log"; } >&2
    done
    fail "$1"
}

# Ends what `spawn` started, and only that.
stop_all() {
    local file pid
    for file in "$HOME_DIR"/*.pid; do
        [[ -e $file ]] || continue
        kill "$(<"$file")" 2>/dev/null || true
    done
    for file in "$HOME_DIR"/*.pid; do
        [[ -e $file ]] || continue
        pid=$(<"$file")
        for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
        rm -f "$file"
    done
}
