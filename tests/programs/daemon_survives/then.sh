# Nothing but this shell and what is above it in its own namespace.
count=0
for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    [ "$pid" = 1 ] || [ "$pid" = $$ ] || [ ! -r "$folder/cmdline" ] || [ -z "$(tr -d '\0' < "$folder/cmdline" 2>/dev/null)" ] || count=$((count + 1))
done
echo "strangers: $count"
