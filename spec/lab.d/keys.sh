# Sourced by spec/lab: the clients' keys, known_hosts and ssh_config.
# shellcheck shell=bash disable=SC2154

# make_key FILE TYPE [PASSPHRASE]: small and quick ones, for they protect nothing.
make_key() {
    local size=()
    [ "$2" != rsa ] || size=(-b 2048)
    ssh-keygen -q -t "$2" "${size[@]}" -a 1 -N "${3-}" -C "${1##*/}" -f "$1" </dev/null
}

make_client_keys() {
    local dir=$state/client
    mkdir -m 700 "$dir"
    make_key "$dir/id_rsa" rsa &
    make_key "$dir/id_ed25519" ed25519
    make_key "$dir/id_ed25519_pass" ed25519 orrery-pass
    make_key "$dir/id_ecdsa" ecdsa
    wait
    cat "$dir"/id_*.pub >"$dir/authorized_keys"
    # Under sudo, the tests that use the keys run as the user who called.
    if [ -n "${SUDO_UID-}" ]; then chown -R "$SUDO_UID:${SUDO_GID:-0}" "$dir"; fi
}

# Host keys lie in host/NAME/keys/*.pub. Odd hosts are written in clear, even ones hashed.
write_known_hosts() {
    local host address port kind key n=0 names
    : >"$state/known_hosts"
    : >"$state/known_hosts.hashed"
    while read -r host address port kind; do
        [ "$kind" != dead ] || continue
        n=$((n + 1))
        names=$host,$address
        [ "$port" -eq 22 ] || names="[$host]:$port,[$address]:$port"
        for key in "$state/host/$host/keys/"*.pub; do
            if [ $((n % 2)) -eq 1 ]; then
                echo "$names $(cut -d ' ' -f 1,2 "$key")" >>"$state/known_hosts"
            else
                echo "$names $(cut -d ' ' -f 1,2 "$key")" >>"$state/known_hosts.hashed"
            fi
        done
    done <"$state/hosts"
    if [ -s "$state/known_hosts.hashed" ]; then
        ssh-keygen -q -H -f "$state/known_hosts.hashed" >/dev/null 2>&1
        cat "$state/known_hosts.hashed" >>"$state/known_hosts"
    fi
    rm -f "$state/known_hosts.hashed" "$state/known_hosts.hashed.old"
}

# write_ssh_config USER
write_ssh_config() {
    local host address port kind
    {
        while read -r host address port kind; do
            printf 'Host %s\n    HostName %s\n    Port %s\n\n' "$host" "$address" "$port"
        done <"$state/hosts"
        cat <<END
Host *
    User $1
    IdentityFile $state/client/id_ed25519
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile $state/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
END
    } >"$state/ssh_config"
}
