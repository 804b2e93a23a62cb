ls -A /w/[0-9]* 2>/dev/null | wc -l
