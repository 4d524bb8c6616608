# Sourced by spec/lab: names, places, and ways to fail.
# shellcheck shell=bash disable=SC2034,SC2154

name=${ORRERY_LAB_NAME:-lab}
# Interface names hold 15 characters, so they carry a hash of the lab's name. Everything a lab owns
# can be found again from its name alone, whatever became of its state directory.
link=orl$(printf '%06x' $(($(printf %s "$name" | cksum | cut -d ' ' -f 1) & 0xffffff)))
netns_prefix=orrery-$name-
# shellcheck disable=SC2016
password_hash='$6$orrerylab$e/MGaWvb8.4miG/VVzWWsqmlKn1PoDudSHLsP2u1n9s0DeFp9Yi4kG6g6M0.59NW5CZzLvwxQa82jx0oQ1keQ.'

die() {
    echo "lab: $*" >&2
    exit 1
}

die_usage() {
    echo "lab: $*; see spec/lab --help" >&2
    exit 2
}

die_needs_root() {
    echo "lab: $* needs root, or sudo without a password" >&2
    exit 3
}

is_number() {
    [[ ${1-} =~ ^[0-9]{1,4}$ ]]
}

check_name() {
    [[ $1 =~ ^[a-z0-9_]{1,32}$ ]] ||
        die_usage "ORRERY_LAB_NAME '$1': 1 to 32 lower-case letters, digits and _ only"
}

# Sets `mode` and `state`. May start over under sudo, and then does not return.
choose_mode() {
    local root_state=/run/orrery-lab-$name
    local user_state=${XDG_RUNTIME_DIR:-/tmp}/orrery-lab-$UID-$name
    local arg command=$1 user=${ORRERY_LAB_USER:+yes}
    if [ "$command" = up ]; then
        for arg; do
            [ "$arg" != --user ] || user=yes
        done
    fi
    mode=netns state=$root_state
    if [ -n "$user" ] || { [ "$command" != up ] && [ -e "$user_state/hosts" ]; }; then
        mode=user state=$user_state
    elif [ "$UID" -ne 0 ]; then
        if sudo -n true 2>/dev/null; then
            exec sudo -n ORRERY_LAB_NAME="$name" "$lab_self" "$@"
        fi
        mode=user state=$user_state
    fi
}

# One `up` or `down` at a time. The lock is on a file that exists anyway, so none is left behind;
# whoever starts a process that stays closes descriptor 9 for it.
take_lock() {
    exec 9<"$lab_dir/common.sh"
    flock -w 120 9 || die "another 'up' or 'down' has been running for two minutes"
}

need_up() {
    [ -e "$state/hosts" ] || die "no lab named '$name' is up; start one with: spec/lab up N"
}

# Sets host, host_address, host_port, host_kind and host_dir for a host of this lab.
need_host() {
    [ -n "$1" ] || die_usage "which host?"
    need_up
    local line
    line=$(awk -v host="$1" '$1 == host' "$state/hosts")
    [ -n "$line" ] ||
        die "no host '$1' in lab '$name'; it has: $(awk '{ printf "%s ", $1 }' "$state/hosts")"
    read -r host host_address host_port host_kind <<<"$line"
    host_dir=$state/host/$host
}

# wait_until SECONDS WHAT COMMAND...: polls, since what is waited for is in another process.
wait_until() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -le "$deadline" ] || {
            echo "lab: gave up waiting: $what" >&2
            return 1
        }
        sleep 0.01
    done
}

# Lines "name address kind" for what `up` was asked for, given the network's first three octets.
plan_hosts() {
    local i
    for ((i = 1; i <= count; i++)); do echo "h$i $1.$((10 + i)) host"; done
    if [ "$foreign" -eq 1 ]; then echo "foreign $1.220 foreign"; fi
    for ((i = 1; i <= refuse; i++)); do echo "refuse$i $1.$((220 + i)) refuse"; done
    for ((i = 1; i <= dead; i++)); do echo "dead$i $1.$((230 + i)) dead"; done
}

# The directive lines that every sshd of a lab has in common.
sshd_config_common() {
    cat <<'END'
UseDNS no
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
MaxStartups 200
MaxSessions 100
PrintMotd no
PrintLastLog no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
END
}

# list_processes PROC [PID...]: lines "pid ppid uid state command" from a mounted /proc.
list_processes() {
    local proc=$1 dir pid ppid uid process_state comm command
    shift
    [ $# -gt 0 ] || set -- "$proc"/[0-9]*
    for dir; do
        pid=${dir##*/}
        # A process may end while it is looked at.
        {
            read -r process_state ppid uid comm < <(awk '
                $1 == "Name:" { name = $2 }
                $1 == "State:" { state = $2 }
                $1 == "PPid:" { ppid = $2 }
                $1 == "Uid:" { uid = $2 }
                END { print state, ppid, uid, name }' "$proc/$pid/status") &&
                command=$(tr '\0\n' '  ' <"$proc/$pid/cmdline")
        } 2>/dev/null || continue
        command=${command% }
        [ -z "$process_state" ] || echo "$pid $ppid $uid $process_state ${command:-[$comm]}"
    done
}
