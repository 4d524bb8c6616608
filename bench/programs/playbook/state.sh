#!/bin/sh
# Runs on a host: what the tasks may have touched, a line for each path, to be compared. In the table of cron each tool
# has a comment of its own.
find /etc /srv /usr/local /home /var/spool/cron -xdev \( -name '*-' -o -name '*.cache' \) -prune -o \
    -printf '%y %m %u %g %p %l\n' | sort
find /etc /srv /usr/local/bin -xdev -type f ! -name '*-' ! -name '*.cache' ! -path /etc/cron.d/bench \
    -exec sha256sum {} + | sort -k 2
grep -v '^#' /etc/cron.d/bench
for service in bench-web bench-worker rsync; do
    "/etc/init.d/$service" status >/dev/null 2>&1
    echo "$service $?"
done
