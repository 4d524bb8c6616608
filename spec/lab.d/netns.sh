# Sourced by spec/lab: hosts with namespaces and a file system of their own. Needs root.
#
# All hosts hang on one bridge. A host is a network namespace, and in it one `unshare` process whose
# child is the first process of a PID namespace and becomes sshd (see host-init). The root file
# system is an overlay of three layers: the host's own, one template for the whole lab, and this
# machine's root directory. Everything that is written lies in a tmpfs at $state.
# shellcheck shell=bash disable=SC2154

# Fails early, and with all that is missing.
netns_check_tools() {
    local tool package missing=
    for tool in ip:iproute2 sshd:openssh-server ssh-keygen:openssh-client sudo:sudo \
        unshare:util-linux nsenter:util-linux pivot_root:util-linux; do
        package=${tool#*:} tool=${tool%%:*}
        command -v "$tool" >/dev/null || missing+=" $package"
    done
    if [ "$foreign" -eq 1 ]; then
        command -v dropbear dropbearkey >/dev/null || missing+=" dropbear-bin"
        [ -x /usr/bin/busybox ] || [ -x /bin/busybox ] || missing+=" busybox-static"
    fi
    [ -z "$missing" ] || die "not installed:$missing; run: scripts/setup lab"
}

# Prints the first three octets of a network that this machine does not use.
netns_free_network() {
    local used third i
    used=$(ip -4 -o addr show | awk '{ print $4 }'; ip -4 route show | awk '{ print $1 }')
    third=$((16#${link: -2}))
    for ((i = 0; i < 256; i++)); do
        if ! grep -q "^10\.77\.$third\." <<<"$used"; then
            echo "10.77.$third"
            return
        fi
        third=$(((third + 1) % 256))
    done
    die "no free network under 10.77.0.0/16"
}

# The name of a host's end of the cable: orl0123abh12, orl0123abf, orl0123abr1.
netns_cable() {
    case $1 in
    foreign) echo "${link}f" ;;
    refuse*) echo "${link}r${1#refuse}" ;;
    *) echo "$link$1" ;;
    esac
}

netns_up() {
    netns_check_tools
    umask 022
    mkdir -p "$state"
    mount -t tmpfs -o mode=755 orrery-lab "$state"
    echo netns >"$state/mode"
    local network host address kind pids=()
    network=$(netns_free_network)
    plan_hosts "$network" | while read -r host address kind; do
        echo "$host $address 22 $kind"
    done >"$state/hosts.new"

    make_client_keys &
    pids+=($!)
    (
        netns_make_template
        if [ "$foreign" -eq 1 ]; then netns_make_foreign_root; fi
    ) &
    pids+=($!)
    netns_make_network "$network"
    wait_for_all "${pids[@]}"
    netns_authorize

    pids=()
    while read -r host address _ kind; do
        [ "$kind" != dead ] || continue
        netns_prepare_host "$host" "$kind" &
        pids+=($!)
    done <"$state/hosts.new"
    wait_for_all "${pids[@]}"
    while read -r host address _ kind; do
        [ "$kind" = dead ] || netns_boot "$host" "$address" "$kind"
    done <"$state/hosts.new"
    while read -r host address _ kind; do
        [ "$kind" = dead ] || netns_wait_for_sshd "$host"
    done <"$state/hosts.new"

    mv "$state/hosts.new" "$state/hosts"
    write_known_hosts
    write_ssh_config root
}

wait_for_all() {
    local pid
    for pid; do wait "$pid"; done
}

netns_make_network() {
    local network=$1 host address kind cable
    {
        # A fixed address, for a bridge otherwise changes its own with the ports it gets.
        echo "link add $link address 02:4f:${link:3:2}:${link:5:2}:${link:7:2}:01 type bridge"
        echo "addr add $network.1/24 dev $link"
        echo "link set $link up"
        while read -r host address _ kind; do
            if [ "$kind" = dead ]; then
                # A neighbour that is known but not there: packets leave and vanish, with no
                # "host unreachable" after some seconds.
                echo "neigh replace $address lladdr 02:4f:de:ad:00:${address##*.} dev $link nud permanent"
                continue
            fi
            cable=$(netns_cable "$host")
            echo "netns add $netns_prefix$host"
            echo "link add $cable type veth peer name ${cable}p"
            echo "link set ${cable}p netns $netns_prefix$host"
            echo "link set $cable master $link up"
        done <"$state/hosts.new"
    } | sed 's/lladdr 02:4f:de:ad:00:2\(..\)/lladdr 02:4f:de:ad:02:\1/' >"$state/network.batch"
    ip -batch "$state/network.batch"
}

# Directories of this machine that no host shall see. Those with a mode come back empty.
netns_hidden() {
    cat <<'END'
root 700
home 755
tmp 1777
run 755
dev 755
mnt 755
media 755
var/tmp 1777
var/log 755
etc/ssh 755
etc/sudoers.d 755
END
    local checkout
    checkout=$(cd "$lab_dir/../.." && pwd)
    case $checkout in
    /root/* | /home/* | /tmp/* | /run/* | /var/tmp/* | /mnt/* | /media/*) ;;
    *) echo "${checkout#/} 755" ;;
    esac
    # What an installed Orrery would answer in place of the agent under test.
    find /usr/local /opt -maxdepth 4 -name '*orrery*' -prune -printf '%P %H\n' 2>/dev/null |
        awk '{ sub("^/", "", $2); print $2 "/" $1 }'
}

# The overlay turns a directory made over a whiteout into an opaque one, so neither setfattr nor
# its like is needed: whiteouts first, then a mount, then the directories.
netns_make_template() {
    local template=$state/template work=$state/template.work merged=$state/template.merged
    local path mode
    mkdir -p "$template" "$work" "$merged"
    netns_hidden >"$state/hidden"
    while read -r path mode; do
        mkdir -p "$template/$(dirname "$path")"
        mknod "$template/$path" c 0 0
    done <"$state/hidden"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$template,workdir=$work" "$merged"
    while read -r path mode; do
        [ -z "$mode" ] || mkdir -m "$mode" "$merged/$path"
    done <"$state/hidden"
    netns_fill_template "$merged"
    umount "$merged"
}

netns_fill_template() {
    local root=$1
    mkdir -p "$root/run/lock" "$root/run/sshd" "$root/dev/pts" "$root/dev/shm"
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$root/dev/"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s /proc/self/fd/0 "$root/dev/stdin"
    ln -s /proc/self/fd/1 "$root/dev/stdout"
    ln -s /proc/self/fd/2 "$root/dev/stderr"

    # System accounts as they are, people's accounts not, no password of this machine's.
    rm -f "$root/etc/passwd" "$root/etc/group" "$root/etc/shadow" "$root/etc/gshadow"
    awk -F : -v OFS=: '$3 < 1000 || $3 == 65534 { if ($1 == "root") $7 = "/bin/bash"; print }' \
        /etc/passwd >"$root/etc/passwd"
    awk -F : '$3 < 1000 || $3 == 65534' /etc/group >"$root/etc/group"
    netns_add_users "$root"
    netns_write_names >"$root/etc/hosts"
    : >"$root/etc/resolv.conf"

    rm -f "$root/etc/sudoers"
    cat >"$root/etc/sudoers" <<'END'
Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
deploy ALL=(ALL:ALL) NOPASSWD: ALL
pwuser ALL=(ALL:ALL) ALL
END
    chmod 440 "$root/etc/sudoers"

    sshd_config_common >"$root/etc/ssh/sshd_config.lab"
    rm -f "$root/etc/pam.d/sshd"
    cat >"$root/etc/pam.d/sshd" <<'END'
auth required pam_unix.so
account required pam_unix.so
session required pam_permit.so
END
}

# Adds deploy and pwuser to a root directory whose passwd and group hold the system's accounts.
netns_add_users() {
    local root=$1 shell=/bin/bash
    [ -e "$root$shell" ] || shell=/bin/sh
    printf '%s:x:%d:%d::/home/%s:%s\n' deploy 1000 1000 deploy "$shell" pwuser 1001 1001 pwuser \
        "$shell" >>"$root/etc/passwd"
    printf '%s:x:%d:\n' deploy 1000 pwuser 1001 >>"$root/etc/group"
    # "*" has no password; "!" would be a locked account, which sshd refuses.
    awk -F : -v hash="$password_hash" '{
        print $1 ":" ($1 == "pwuser" ? hash : "*") ":19000:0:99999:7:::"
    }' "$root/etc/passwd" >"$root/etc/shadow"
    chmod 600 "$root/etc/shadow"
    mkdir -p "$root/root"
    chmod 700 "$root/root"
    install -d -m 755 -o 1000 -g 1000 "$root/home/deploy"
    install -d -m 755 -o 1001 -g 1001 "$root/home/pwuser"
}

# /etc/hosts for every host: all of them by name.
netns_write_names() {
    echo "127.0.0.1 localhost"
    awk '{ print $2, $1 }' "$state/hosts.new"
}

# Root and deploy accept the clients' keys. Runs once both the keys and the templates are there.
netns_authorize() {
    local root
    for root in "$state/template" "$state/foreign.root"; do
        [ -d "$root" ] || continue
        install -d -m 700 "$root/root/.ssh"
        install -m 600 "$state/client/authorized_keys" "$root/root/.ssh/authorized_keys"
        install -d -m 700 -o 1000 -g 1000 "$root/home/deploy/.ssh"
        install -m 600 -o 1000 -g 1000 "$state/client/authorized_keys" \
            "$root/home/deploy/.ssh/authorized_keys"
    done
}

# A system with busybox and nothing else. Its dropbear is linked against a C library that no one
# else there finds: both lie in /lab, and so does the dynamic linker, under a name that this copy
# of dropbear was patched to ask for (its length has to stay, hence /lab64 for /lib64).
netns_make_foreign_root() {
    local root=$state/foreign.root linker busybox=/usr/bin/busybox library dropbear
    [ -x "$busybox" ] || busybox=/bin/busybox
    dropbear=$(command -v dropbear)
    mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,etc/dropbear,dev,proc,sys,run,var/log,lab}
    mkdir -m 1777 "$root/tmp" "$root/var/tmp"
    cp "$busybox" "$root/bin/busybox"
    chroot "$root" /bin/busybox --install -s

    linker=$(LC_ALL=C grep -aom1 '/lib[0-9]*/ld-[a-z0-9_.-]*' "$dropbear")
    mkdir -p "$root/lab${linker:4:2}"
    install -d "$root/$(dirname "${linker/lib/lab}")"
    cp -L "$linker" "$root/${linker/lib/lab}"
    LC_ALL=C sed "s|$linker|${linker/lib/lab}|" "$dropbear" >"$root/lab/dropbear"
    chmod 755 "$root/lab/dropbear"
    ldd "$dropbear" | awk '$2 == "=>" { print $3 }' | while read -r library; do
        cp -L "$library" "$root/lab/"
    done

    mkdir -p "$root/dev/pts" "$root/dev/shm"
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$root/dev/"
    ln -s pts/ptmx "$root/dev/ptmx"
    echo "root:x:0:0:root:/root:/bin/sh" >"$root/etc/passwd"
    echo "root:x:0:" >"$root/etc/group"
    netns_add_users "$root"
    netns_write_names >"$root/etc/hosts"
    printf 'NAME=foreign\nID=foreign\n' >"$root/etc/os-release"
}

# What one host has for itself before it first boots: its keys, its configuration, its disk.
netns_prepare_host() {
    local host=$1 kind=$2 dir=$state/host/$1 root type
    mkdir -p "$dir/keys"
    echo "$kind" >"$dir/kind"
    if [ "$kind" = foreign ]; then
        mv "$state/foreign.root" "$dir/root"
        echo "$host" >"$dir/root/etc/hostname"
        dropbearkey -t ed25519 -f "$dir/root/etc/dropbear/host_key" 2>/dev/null |
            grep '^ssh-ed25519' >"$dir/keys/ed25519.pub"
        return
    fi

    root=$dir/upper
    mkdir -p "$dir/root" "$dir/work" "$root/etc/ssh"
    echo "$host" >"$root/etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    for type in ed25519 ecdsa rsa; do
        [ $type = ed25519 ] || [ "$host" = h1 ] || continue
        make_key "$root/etc/ssh/ssh_host_${type}_key" "$type"
        cp "$root/etc/ssh/ssh_host_${type}_key.pub" "$dir/keys/$type.pub"
        echo "HostKey /etc/ssh/ssh_host_${type}_key" >>"$root/etc/ssh/sshd_config"
    done
    # sshd keeps the first value it reads of each directive, so what is special comes first.
    {
        echo "Include /etc/ssh/sshd_config.d/*.conf"
        if [ "$host" = h2 ]; then
            printf '%s\n' "UsePAM yes" "KbdInteractiveAuthentication yes" "PasswordAuthentication no"
        fi
        [ "$kind" != refuse ] || echo "AuthorizedKeysFile none"
        echo "Include /etc/ssh/sshd_config.lab"
    } >>"$root/etc/ssh/sshd_config"
    mkdir "$root/etc/ssh/sshd_config.d"
}

# netns_boot HOST ADDRESS KIND: returns at once; see netns_wait_for_sshd.
netns_boot() {
    local dir=$state/host/$1
    rm -f "$dir/init"
    setsid ip netns exec "$netns_prefix$1" \
        unshare --uts --ipc --mount --pid --fork --kill-child \
        "$lab_dir/host-init" "$1" "$2" "$(netns_cable "$1")p" "$3" "$state" \
        </dev/null >"$dir/log" 2>&1 9>&- &
    echo $! >"$dir/unshare"
    disown
}

netns_wait_for_sshd() {
    local dir=$state/host/$1 pid_file
    pid_file=$dir/upper/run/sshd.pid
    [ -d "$dir/upper" ] || pid_file=$dir/root/run/sshd.pid
    if ! wait_until 20 "$1 to start" netns_started_or_dead "$dir" "$pid_file" ||
        [ ! -s "$pid_file" ]; then
        sed "s/^/lab: $1: /" "$dir/log" >&2
        die "$1 did not start"
    fi
}

netns_started_or_dead() {
    [ -s "$2" ] || ! kill -0 "$(cat "$1/unshare")" 2>/dev/null
}

# Kills what lives in the lab's network namespaces, whether or not the state still knows of it.
netns_down() {
    # Without ip there never was a lab; a cleanup may come before any setup.
    command -v ip >/dev/null || return 0
    local netns pids deadline=$((SECONDS + 10)) links
    while :; do
        pids=
        for netns in /run/netns/"$netns_prefix"*; do
            [ ! -e "$netns" ] || pids+=" $(ip netns pids "${netns##*/}" 2>/dev/null | tr '\n' ' ')"
        done
        [ -n "${pids// /}" ] || break
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null || true
        [ "$SECONDS" -le "$deadline" ] || die "processes that do not die:$pids"
        sleep 0.01
    done
    {
        for netns in /run/netns/"$netns_prefix"*; do
            [ ! -e "$netns" ] || echo "netns del ${netns##*/}"
        done
    } | ip -batch - || true
    for netns in "$state"/host/*/relay; do
        [ ! -s "$netns" ] || kill "$(cat "$netns")" 2>/dev/null || true
    done
    links=$(ip -o link show | awk -F ': ' -v lab="$link" '
        { sub("@.*", "", $2) } index($2, lab) == 1 { print $2 }')
    netns_delete_links "$links"
    netns_unmount
}

# A group is deleted at once, where one link after the other takes some 20 ms each.
netns_delete_links() {
    [ -n "$1" ] || return 0
    local group=$((16#${link: -6} | 0x1000000))
    # shellcheck disable=SC2086
    printf "link set %s group $group\n" $1 | ip -force -batch - 2>/dev/null || true
    ip link del group "$group" 2>/dev/null || true
    # What the group missed: links that vanish with their other end are no failure.
    # shellcheck disable=SC2086
    printf 'link del %s\n' $1 | ip -force -batch - 2>/dev/null || true
}

netns_unmount() {
    local mount
    # The tmpfs goes last. Its memory comes back even if some namespace still holds a copy of it.
    awk -v lab="$state" '$5 == lab || index($5, lab "/") == 1 { print $5 }' /proc/self/mountinfo |
        sort -r | while read -r mount; do
        [ "$mount" != "$state" ] || rm -rf --one-file-system "${state:?}"/*
        umount "$mount" 2>/dev/null || umount -l "$mount"
    done
    [ ! -d "$state" ] || rm -rf --one-file-system "$state"
}

# Sets `init`, the host's first process as this machine sees it.
netns_need_running() {
    [ "$host_kind" != dead ] || die "$host is dead: there is nothing behind its address"
    init=$(cat "$host_dir/init" 2>/dev/null) || init=none
    [ -d "/proc/$init" ] || die "$host is not running; spec/lab start $host boots it"
}

# netns_state HOST KIND
netns_state() {
    local pid flags
    if [ "$2" = dead ]; then
        echo dead
        return
    fi
    read -r pid <"$state/host/$1/init" && read -r flags <"/sys/class/net/$(netns_cable "$1")/flags"
    if [ ! -d "/proc/$pid" ]; then
        echo killed
    elif ((flags & 1)); then
        echo up
    else
        echo cut
    fi
}

netns_exec() {
    [ $# -gt 0 ] || die_usage "exec: which command?"
    netns_need_running
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        USER=root LOGNAME=root LANG=C.UTF-8 \
        nsenter -t "$init" -m -u -i -n -p -r -w -- "$@"
}

# Read from outside, so that looking adds no process to the host.
netns_ps() {
    netns_need_running
    list_processes "/proc/$init/root/proc"
}

netns_root() {
    netns_need_running
    echo "/proc/$init/root"
}

netns_sshd() {
    netns_need_running
    [ "$host_kind" != foreign ] || die "sshd: $host runs dropbear, which reads no configuration"
    local root=/proc/$init/root log
    if [ $# -gt 0 ]; then
        printf '%s\n' "$@" >"$root/etc/ssh/sshd_config.d/test.conf"
    else
        rm -f "$root/etc/ssh/sshd_config.d/test.conf"
    fi
    if ! log=$("$lab_self" exec "$host" /usr/sbin/sshd -t 2>&1); then
        rm -f "$root/etc/ssh/sshd_config.d/test.conf"
        die "sshd: $log"
    fi
    rm -f "$root/run/sshd.pid"
    kill -HUP "$init"
    wait_until 10 "sshd of $host to restart" test -s "$root/run/sshd.pid"
}

netns_cut() {
    [ "$host_kind" != dead ] || die "$host is dead: it has no cable"
    ip link set "$(netns_cable "$host")" down
}

netns_heal() {
    [ "$host_kind" != dead ] || die "$host is dead: it has no cable"
    ip link set "$(netns_cable "$host")" up
}

# netns_netem [SPEC]: a specification is a list of words, given as one argument or several.
# shellcheck disable=SC2048,SC2086
netns_netem() {
    [ "$host_kind" != dead ] || die "$host is dead: it has no cable"
    local cable log
    cable=$(netns_cable "$host")
    tc qdisc del dev "$cable" root 2>/dev/null || true
    netns_stop_relay "$cable"
    [ $# -gt 0 ] || return 0
    if ! log=$(tc qdisc add dev "$cable" root netem $* 2>&1); then
        case $log in
        *"qdisc kind is unknown"*) netns_start_relay "$cable" $* ;;
        *) die "netem: $log" ;;
        esac
    fi
}

# netns_start_relay CABLE SPEC...: a kernel without sch_netem gets a process between the bridge and
# the cable, which knows "delay" and "loss".
netns_start_relay() {
    local cable=$1 delay=0 loss=0 third
    shift
    while [ $# -gt 0 ]; do
        case $1:${2-} in
        delay:*[0-9]us) delay=$(awk -v t="$2" 'BEGIN { print t / 1000 }') ;;
        delay:*[0-9]ms) delay=${2%ms} ;;
        delay:*[0-9]s) delay=$(awk -v t="$2" 'BEGIN { print t * 1000 }') ;;
        loss:*[0-9]%) loss=${2%\%} ;;
        *) die "netem: '$*': a kernel without sch_netem can do: delay TIME, loss PERCENT%" ;;
        esac
        shift 2
    done
    command -v luajit >/dev/null || die "not installed: luajit; run: scripts/setup build"
    third=${cable}x
    ip -batch - <<END
link add $third type veth peer name ${cable}y
link set $cable nomaster
link set $third master $link up
link set ${cable}y up
link set ${cable}y promisc on
link set $cable promisc on
END
    rm -f "$host_dir/relay"
    setsid luajit "$lab_dir/delay.lua" "${cable}y" "$cable" "$delay" "$loss" "$host_dir/relay" \
        </dev/null >"$host_dir/relay.log" 2>&1 &
    wait_until 5 "the slow cable of $host" test -s "$host_dir/relay" || {
        cat "$host_dir/relay.log" >&2
        return 1
    }
}

netns_stop_relay() {
    [ -e "$host_dir/relay" ] || return 0
    kill "$(cat "$host_dir/relay")" 2>/dev/null || true
    rm -f "$host_dir/relay"
    ip -batch - <<END
link del ${1}x
link set $1 promisc off
link set $1 master $link
END
}

netns_kill() {
    netns_need_running
    kill -KILL "$init"
    wait_until 10 "$host to end" netns_all_gone "$netns_prefix$host"
}

netns_all_gone() {
    [ -z "$(ip netns pids "$1")" ]
}

netns_start() {
    local pid
    pid=$(cat "$host_dir/init" 2>/dev/null) || pid=none
    [ "$host_kind" != dead ] || die "$host is dead: there is nothing behind its address"
    [ ! -d "/proc/$pid" ] || die "$host is running"
    if [ "$host_kind" = foreign ]; then
        rm -rf "$host_dir/root/run" "$host_dir/root/tmp"
        mkdir "$host_dir/root/run"
        mkdir -m 1777 "$host_dir/root/tmp"
    else
        rm -rf "$host_dir/upper/run" "$host_dir/upper/tmp"
    fi
    netns_boot "$host" "$host_address" "$host_kind"
    netns_wait_for_sshd "$host"
}
