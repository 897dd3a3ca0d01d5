#!/usr/bin/env bash
# check.sh FILE COMPILER FLAGS...
#
# FILE holds cases of this form, as many as it likes:
#
#   // REJECT median_on_ring: tutti::strategy: median needs every .* - use tutti::direct
#   #if defined REJECT_median_on_ring
#     (what must not compile)
#   #else
#     (its twin: what to write instead, which must compile)
#   #endif
#
# The text after the colon is an extended regular expression (grep -E). With REJECT_median_on_ring
# defined the file must fail to compile and its first error must match; with nothing defined it must
# compile. `#elif defined REJECT_other` shares one twin between several cases. One with the
# remark "// says no more" has no other error.
set -uo pipefail

file=$1
shift
command=("$@" -fsyntax-only)
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
alone=$made/$(basename "$file")
if [[ $1 == *nvcc ]]; then
  # It has no -fsyntax-only; -cuda ends after its own front end, where the sentences come from.
  command=("$@" -x cu -cuda -o /dev/null)
else
  # Half of the time of a case is reading what the file includes: that is done once, for all of them.
  grep -E '^#include' "$file" >"$made/included.hpp"
  if "$1" --version | grep -q clang; then
    "$@" -x c++-header "$made/included.hpp" -o "$made/included.pch" &&
      command+=(-include-pch "$made/included.pch")
  else
    "$@" -x c++-header "$made/included.hpp" -o "$made/included.hpp.gch" &&
      command+=(-Winvalid-pch -include "$made/included.hpp")
  fi
fi

failures=0
complain() {
  echo "$file: $1"
  [[ -n ${2-} ]] && printf "    %s\n" "${2//$'\n'/$'\n'    }"
  failures=$((failures + 1))
}

says_no_more() {
  awk -v name="REJECT_$1" '
    /^[ \t]*#/ { here = $0 ~ name "([^A-Za-z0-9_]|$)" }
    here && /\/\/ says no more/ { found = 1 }
    END { exit !found }' "$file"
}

mapfile -t cases < <(sed -nE 's/^[ \t]*\/\/ REJECT ([A-Za-z0-9_]+): *(.+)$/\1 \2/p' "$file")
((${#cases[@]})) || complain "no line of the form '// REJECT name: regular expression'"

# nvcc takes five seconds a case: three of each file show that its front end says the sentences too.
[[ $1 == *nvcc && $file != *.cu ]] && cases=("${cases[@]:0:3}")

for case in "${cases[@]}"; do
  name=${case%% *}
  sentence=${case#* }

  # The conditional that names the case has an #else before its #endif.
  awk -v name="REJECT_$name" '
    /^[ \t]*#[ \t]*if/ { ++depth; mine[depth] = 0; twin[depth] = 0 }
    /^[ \t]*#[ \t]*(if|elif)/ && $0 ~ name "([^A-Za-z0-9_]|$)" { mine[depth] = 1 }
    /^[ \t]*#[ \t]*else/ { twin[depth] = 1 }
    /^[ \t]*#[ \t]*endif/ { if (mine[depth] && twin[depth]) found = 1; --depth }
    END { exit !found }' "$file" ||
    complain "$name: nothing shows what to write instead: no '#if defined REJECT_$name ... #else ... #endif'"

  # Of the conditionals that name cases only its own is left, so that a case costs no more for its neighbours.
  awk -v name="REJECT_$name" '
    !depth && /^[ \t]*#[ \t]*if.*REJECT_/ { held = ""; depth = 1; mine = 0; lines = 0; within = 1 }
    within {
      if ($0 ~ /^[ \t]*#[ \t]*if/ && lines) ++depth
      if ($0 ~ /^[ \t]*#[ \t]*(if|elif)/ && $0 ~ name "([^A-Za-z0-9_]|$)") mine = 1
      if ($0 ~ /^[ \t]*#[ \t]*endif/) --depth
      held = held $0 "\n"; ++lines
      if (!depth) { if (mine) printf "%s", held; else while (lines--) print ""; within = 0 }
      next
    }
    { print }' "$file" >"$alone"

  if output=$("${command[@]}" -D"REJECT_$name" "$alone" 2>&1); then
    complain "$name: it was to be rejected, but compiles"
  elif ! grep -Eq -e "$sentence" <<<"$output"; then
    complain "$name: no line of the compiler's output matches: $sentence" "$output"
  elif ! grep -m 1 -E ': error' <<<"$output" | grep -Eq -e "$sentence"; then
    complain "$name: its sentence is not the first error: $sentence" "$output"
  elif says_no_more "$name" && (($(grep -cE ': error' <<<"$output") > 1)); then
    complain "$name: it says more than its sentence" "$output"
  fi
done

output=$("${command[@]}" "$file" 2>&1) || complain "the twin does not compile" "$output"

echo "${#cases[@]} cases, $failures complaints ($1)"
((failures == 0))
