exec bash "$0" "$@"
