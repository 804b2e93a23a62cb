ls /w | grep -c "^core"
