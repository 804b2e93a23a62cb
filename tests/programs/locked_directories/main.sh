mkdir -p /w/a/b/c /tmp/a/b
touch /w/a/b/c/file /tmp/a/b/file
chmod 000 /w/a/b/c /w/a/b /w/a /tmp/a/b /tmp/a /w 2>/dev/null
echo locked
