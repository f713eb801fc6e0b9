#!/bin/sh
# usage: guard.sh PID
# Waits for the end of its stdin, which is the end of the test cluster PID, and removes what was left of its containers.
cat > /dev/null
tries=0
while [ $tries -lt 100 ]; do
  left=
  for folder in /sys/fs/cgroup/freepage-"$1" /sys/fs/cgroup/*/freepage-"$1"; do
    [ -d "$folder" ] || continue
    left=yes
    find "$folder" -name cgroup.procs -exec cat {} + 2> /dev/null | xargs -r kill -9 2> /dev/null
    find "$folder" -depth -type d -exec rmdir {} \; 2> /dev/null
  done
  [ "$left" ] || exit 0
  tries=$((tries + 1))
  sleep 0.1
done
