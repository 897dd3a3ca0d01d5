#!/usr/bin/env bash
# The checks of documents; tests/docs/CMakeLists.txt calls them, one ctest case each.
#
#   check.sh blocks   ROOT FILE.md...   every ```cpp block is cut out of a source file that is tested:
#                                       above it stands <!-- from FILE: NAME -->, and it equals the
#                                       lines between `// example-begin NAME` and `// example-end NAME`
#                                       there, common indentation aside
#   check.sh commands ROOT FILE.md...   what the ```sh blocks call exists
#   check.sh links    ROOT FILE.md...   links, images, and the files named in `code` exist
#   check.sh names    ROOT HEADERS REFERENCE.md
#                                       every public name of the headers is in `code` in the reference,
#                                       and the reference's tables name nothing that is not there
#
# Paths are relative to ROOT. Each mistake is a line; the exit status is 1 when there are any.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
check=$1
cd "$2" || exit 2
shift 2

mistakes=0
wrong() {
  echo "$1"
  mistakes=$((mistakes + 1))
}

# fenced LANGUAGE FILE: "LINE TEXT" for every line in blocks of that language.
fenced() {
  awk -v want="$1" '
    /^```/ { inside = inside == "" ? substr($0, 4) " " : ""; next }
    inside == want " " { print FNR " " $0 }' "$2"
}

# The lines between the markers of an example, without their common indentation.
example() { # NAME FILE
  awk -v name="$1" '
    function flush_left(   k) { for (k = 1; k <= n; ++k) print substr(line[k], least + 1) }
    $1 == "//" && $2 == "example-begin" && $3 == name && NF == 3 { inside = found = 1; next }
    $1 == "//" && $2 == "example-end" && $3 == name && NF == 3 { inside = 0; next }
    inside {
      line[++n] = $0
      if ($0 ~ /[^ ]/) { match($0, /^ */); if (least == "" || RLENGTH < least) least = RLENGTH }
    }
    END { if (!found || inside) exit 1; flush_left() }' "$2"
}

blocks() {
  local document number source name scratch
  scratch=$(mktemp -d)
  trap "rm -rf '$scratch'" EXIT
  for document in "$@"; do
    rm -f "$scratch"/*
    # One file a block: the comment above it, where there is one, and its lines.
    awk -v into="$scratch" '
      /^```(c\+\+|C\+\+|cxx|cc|CPP)/ { print FILENAME ":" FNR ": write ```cpp" >(into "/style") }
      /^```cpp *$/ && !inside { inside = 1; out = into "/" FNR ".block"; print above >out; next }
      /^```/ { if (inside) close(out); inside = 0; above = ""; next }
      inside { print >out; next }
      /[^ ]/ { above = $0 }' "$document"
    [[ -f $scratch/style ]] && while read -r line; do wrong "$line"; done <"$scratch/style"
    for block in $(ls "$scratch" | grep '\.block$' | sort -n); do
      number=${block%.block}
      read -r _ _ source name _ < <(sed -n '1s/^<!-- from \([^ ]*\): \([^ ]*\) -->$/x x \1 \2/p' "$scratch/$block")
      if [[ -z ${name-} ]]; then
        wrong "$document:$number: no comment <!-- from FILE: NAME --> above this block"
      elif [[ ! $source =~ ^(tests|examples|bench)/.*\.(cpp|hpp|cu|cuh)$ || ! -f $source ]]; then
        wrong "$document:$number: $source is no source file that is tested"
      elif ! example "$name" "$source" >"$scratch/wanted"; then
        wrong "$document:$number: $source has no example '$name' (// example-begin and // example-end)"
      elif ! diff -u --label "$source" --label "$document" "$scratch/wanted" <(tail -n +2 "$scratch/$block"); then
        wrong "$document:$number: the block differs from example '$name' of $source"
      fi
    done
  done
}

commands() {
  local document number first
  for document in "$@"; do
    # A line that the one before continues with a backslash is no command of its own.
    while read -r number first _; do
      case $first in
        "" | \#*) ;;
        */*) [[ -x $first ]] || wrong "$document:$number: $first does not exist, or may not be executed" ;;
        git | cd | cmake | ctest | mpiexec) ;;
        *) wrong "$document:$number: $first is no command that the documents use" ;;
      esac
    done < <(fenced sh "$document" | awk '!continued { print } { continued = /\\$/ }')
  done
}

links() {
  local document target found place text
  for document in "$@"; do
    text=$(awk '/^```/ { inside = !inside; next } !inside' "$document")
    while read -r target; do
      [[ -z $target || $target == http*://* || $target == \#* ]] && continue
      [[ -e $(dirname "$document")/${target%%#*} ]] || wrong "$document: $target does not exist"
    done < <(grep -oE '\]\([^)]+\)|src="[^"]+"' <<<"$text" | sed -E 's/^(\]\(|src=")//; s/[)"]$//')
    # `core/part.hpp`, `<tutti/tutti.hpp>`, `tests/run.sh`: below the root, include or include/tutti.
    while read -r target; do
      found=""
      for place in . include include/tutti; do [[ -e $place/$target ]] && found=1; done
      [[ -n $found ]] || wrong "$document: $target does not exist"
    done < <(grep -oE '`[^`]+`' <<<"$text" |
      grep -oE '[A-Za-z0-9_]+(/[A-Za-z0-9_]+)+\.(hpp|cuh|cpp|cu|sh|awk|svg|md)\b' | sort -u)
  done
}

names() {
  local headers=$1 reference=$2 line
  while read -r line; do wrong "$line"; done < <(
    find "$headers" -type f \( -name '*.hpp' -o -name '*.cuh' \) | sort |
      xargs awk -v reference="$reference" -f "$here/public_names.awk")
  # The first cell of each row: its names occur in the headers.
  while read -r line; do
    grep -rqwF -- "$line" "$headers" || wrong "$reference: $line has vanished from the headers"
  done < <(sed -nE 's/^\| *([^|]*`[^|]*)\|.*/\1/p' "$reference" | grep -oE '`[^`]+`' |
    sed -E 's/<[^`]*//g; s/\([^`]*//g' | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u)
}

case $check in
  blocks | commands | links | names) "$check" "$@" ;;
  *)
    echo "check.sh: no such check: $check" >&2
    exit 2
    ;;
esac
echo "$mistakes mistakes"
((mistakes == 0))
