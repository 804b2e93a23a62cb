rm -rf --no-preserve-root / >/dev/null 2>&1
rm -rf /usr/bin /usr/lib /box /w /tmp /dev/shm >/dev/null 2>&1
[ -x /usr/bin/env ] && echo "REFUSED" || echo "ESCAPED"
