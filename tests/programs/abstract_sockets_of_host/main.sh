# A line of /proc/net/unix with a name that starts with @ is an abstract socket.
if [ -r /proc/net/unix ] && grep -q '@' /proc/net/unix; then
    echo "ESCAPED"
fi
if [ -r /proc/net/tcp ] && [ "$(wc -l < /proc/net/tcp)" -gt 1 ]; then
    echo "ESCAPED"
fi
echo "REFUSED"
