# Runs a stack program, the first line of standard input, on each further line of four numbers.
read -ra program
while read -r a b c d; do
  stack=()
  for word in "${program[@]}"; do
    n=${#stack[@]}
    case $word in
      a|b|c|d|[0-9]) stack+=("$((word))"); continue ;;
    esac
    (( n >= 1 )) || exit 1
    x=${stack[n-1]}
    case $word in
      dup) stack+=("$x"); continue ;;
      neg) stack[n-1]=$((-x)); continue ;;
      abs) stack[n-1]=$((x < 0 ? -x : x)); continue ;;
    esac
    (( n >= 2 )) || exit 1
    y=${stack[n-2]}
    unset "stack[n-1]"
    case $word in
      +) stack[n-2]=$((y + x)) ;;
      -) stack[n-2]=$((y - x)) ;;
      '*') stack[n-2]=$((y * x)) ;;
      max) stack[n-2]=$((y > x ? y : x)) ;;
      min) stack[n-2]=$((y < x ? y : x)) ;;
      swap) stack[n-2]=$x; stack[n-1]=$y ;;
      *) exit 1 ;;
    esac
  done
  [ ${#stack[@]} = 1 ] || exit 1
  echo "${stack[0]}"
done
