ls -A /tmp | wc -l
[ -e /w/a ] && echo left || echo gone
