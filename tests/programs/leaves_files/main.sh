for folder in /w /tmp /dev/shm /var/tmp /run /dev; do
    echo secret > "$folder/left-behind" 2>/dev/null
    echo 'import os; print("EVIL")' > "$folder/sitecustomize.py" 2>/dev/null
    mkdir -p "$folder/.hidden" 2>/dev/null
done
echo left
