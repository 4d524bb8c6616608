# Sourced by spec/lab: the best that can be done without root. A host is an sshd of the current
# user's on a loopback address of its own. All of them share this machine's files, processes and
# name, and only the current user can log in. Each has its own home directory by name, so that
# nothing of the user's real one is used or changed.
# shellcheck shell=bash disable=SC2154

user_up() {
    command -v sshd >/dev/null || [ -x /usr/sbin/sshd ] ||
        die "not installed: openssh-server; run: scripts/setup lab"
    [ "$foreign" -eq 0 ] || die_needs_root "--foreign"
    [ "$dead" -eq 0 ] || die_needs_root "--dead"
    umask 077
    mkdir "$state"
    echo user >"$state/mode"
    local third=$((16#${link: -2})) attempt host address kind
    make_client_keys
    plan_hosts "$third" >"$state/plan"
    while read -r host _ kind; do
        user_prepare_host "$host" "$kind"
    done <"$state/plan"

    # An address is taken if the first host's sshd cannot listen there; then all move on by one.
    for ((attempt = 0; attempt < 20; attempt++)); do
        plan_hosts "127.77.$third" | while read -r host address kind; do
            echo "$host $address 2222 $kind"
        done >"$state/hosts.new"
        ! user_start_all || break
        user_end_all
        third=$(((third + 1) % 256))
    done
    [ "$attempt" -lt 20 ] || die "found no free addresses; $(cat "$state"/host/*/log)"
    mv "$state/hosts.new" "$state/hosts"
    write_known_hosts
    write_ssh_config "$(id -un)"
}

user_prepare_host() {
    local host=$1 kind=$2 dir=$state/host/$1 keys=$state/client/authorized_keys
    mkdir -p "$dir/home" "$dir/keys"
    make_key "$dir/keys/ed25519" ed25519
    [ "$kind" != refuse ] || keys=none
    : >"$dir/test.conf"
    {
        cat <<END
Include $dir/test.conf
HostKey $dir/keys/ed25519
PidFile $dir/sshd.pid
AuthorizedKeysFile $keys
StrictModes no
SetEnv HOME=$dir/home XDG_CACHE_HOME=$dir/home/.cache XDG_RUNTIME_DIR=$dir/home
END
        sshd_config_common
    } >"$dir/sshd_config"
}

user_start_all() {
    local host address
    while read -r host address _; do
        user_start_host "$host" "$address"
    done <"$state/hosts.new"
    while read -r host address _; do
        user_wait_for_sshd "$host" || return 1
    done <"$state/hosts.new"
}

user_start_host() {
    local dir=$state/host/$1
    rm -f "$dir/sshd.pid"
    setsid /usr/sbin/sshd -D -e -f "$dir/sshd_config" -o "ListenAddress=$2:2222" \
        </dev/null >"$dir/log" 2>&1 9>&- &
    echo $! >"$dir/init"
    disown
}

user_wait_for_sshd() {
    wait_until 20 "$1 to start" user_started_or_dead "$state/host/$1"
    [ -s "$state/host/$1/sshd.pid" ]
}

user_started_or_dead() {
    [ -s "$1/sshd.pid" ] || ! kill -0 "$(cat "$1/init")" 2>/dev/null
}

# Prints a process and all its descendants, as far as they still hang together.
user_tree() {
    ps -e -o pid=,ppid= | awk -v root="$1" '
        { parent[$1] = $2 }
        END {
            for (pid in parent) {
                for (p = pid; p in parent && p != root; p = parent[p]) ;
                if (p == root) print pid
            }
        }'
}

user_end_all() {
    local file pids=
    for file in "$state"/host/*/init; do
        [ ! -e "$file" ] || pids+=" $(user_tree "$(cat "$file")" | tr '\n' ' ')"
    done
    # shellcheck disable=SC2086
    [ -z "${pids// /}" ] || kill -KILL $pids 2>/dev/null || true
}

user_down() {
    user_end_all
    rm -rf "$state"
}

user_need_running() {
    init=$(cat "$host_dir/init")
    kill -0 "$init" 2>/dev/null ||
        die "$host is not running; spec/lab start $host boots it"
}

user_state() {
    if kill -0 "$(cat "$state/host/$1/init")" 2>/dev/null; then echo up; else echo killed; fi
}

user_exec() {
    [ $# -gt 0 ] || die_usage "exec: which command?"
    user_need_running
    cd "$host_dir/home" || return
    exec env HOME="$host_dir/home" XDG_CACHE_HOME="$host_dir/home/.cache" "$@"
}

user_ps() {
    user_need_running
    local pids
    pids=$(user_tree "$init")
    # shellcheck disable=SC2086
    list_processes /proc $pids
}

user_root() {
    user_need_running
    echo /
}

user_sshd() {
    user_need_running
    local log
    printf '%s\n' "$@" >"$host_dir/test.conf"
    if ! log=$(/usr/sbin/sshd -t -f "$host_dir/sshd_config" 2>&1); then
        : >"$host_dir/test.conf"
        die "sshd: $log"
    fi
    rm -f "$host_dir/sshd.pid"
    kill -HUP "$init"
    wait_until 10 "sshd of $host to restart" test -s "$host_dir/sshd.pid"
}

user_kill() {
    user_need_running
    local pids
    pids=$(user_tree "$init")
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    wait_until 10 "$host to end" user_gone "$init"
}

user_gone() {
    ! kill -0 "$1" 2>/dev/null
}

user_start() {
    ! kill -0 "$(cat "$host_dir/init")" 2>/dev/null || die "$host is running"
    user_start_host "$host" "$host_address"
    user_wait_for_sshd "$host" || die "$host did not start: $(cat "$host_dir/log")"
}

user_cut() { die_needs_root cut; }
user_heal() { die_needs_root heal; }
user_netem() { die_needs_root netem; }
