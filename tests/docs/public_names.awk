# Lists every public name of the headers that is missing in the reference (-v reference=FILE).
#
# It relies on the house format: what stands at namespace level begins in the first column, and
# namespaces are closed by `} // namespace NAME`. Public is what is in no namespace `detail`: classes,
# enumerations, concepts, aliases, functions and constants, and macros that begin with TUTTI_. A name
# of tutti::threads is looked for as `threads::name`.

BEGIN {
  while ((getline line < reference) > 0)
    while (match(line, /`[^`]+`/)) {
      code = substr(line, RSTART + 1, RLENGTH - 2)
      line = substr(line, RSTART + RLENGTH)
      gsub(/[^A-Za-z0-9_:]+/, " ", code)
      count = split(code, words, " ")
      for (k = 1; k <= count; ++k) {
        sub(/^(tutti)?::/, "", words[k])
        named[words[k]] = 1
      }
    }
}

FNR == 1 {
  if (depth) print previous ": a namespace is not closed by `} // namespace NAME`"
  depth = 0
  previous = FILENAME
}

function is_public(   k) {
  for (k = 1; k <= depth; ++k)
    if (space[k] ~ /(^|::)detail($|::)/) return 0
  return depth > 0
}

function expect(name,   full, k) {
  full = ""
  for (k = 1; k <= depth; ++k)
    if (!inlined[k]) full = full space[k] "::"
  full = full name
  sub(/^tutti::/, "", full)
  if (full in asked) return
  asked[full] = 1
  if (!(full in named)) print FILENAME ":" FNR ": " full " is not in " reference
}

/^#define TUTTI_/ {
  name = $2
  sub(/\(.*/, "", name)
  if (!(name in asked) && !(name in named)) print FILENAME ":" FNR ": " name " is not in " reference
  asked[name] = 1
  next
}
/^(inline )?namespace [A-Za-z0-9_:]+ \{/ {
  ++depth
  inlined[depth] = $1 == "inline"
  space[depth] = inlined[depth] ? $3 : $2
  next
}
/^} \/\/ (inline )?namespace/ { --depth; next }

/^[A-Za-z]/ && is_public() {
  line = $0
  sub(/\/\/.*/, "", line)
  gsub(/\[\[[^]]*\]\] */, "", line)
  # A template header on the same line.
  while (line ~ /^template *</) {
    open = 0
    for (at = index(line, "<"); at <= length(line); ++at) {
      c = substr(line, at, 1)
      if (c == "<") ++open
      if (c == ">" && --open == 0) break
    }
    line = substr(line, at + 1)
    sub(/^ +/, "", line)
  }
  if (line ~ /^(static_assert|requires|friend)/ || line == "") next

  if (match(line, /^(enum class|enum|struct|class|union|concept|using) +[A-Za-z0-9_]+/)) {
    name = substr(line, RSTART, RLENGTH)
    sub(/.* /, "", name)
  } else {
    # A function's name stands before the first parenthesis, a constant's before = or { or <.
    sub(/[({=].*/, "", line)
    sub(/(\[[^]]*\])? *$/, "", line)
    while (line ~ />$/ && sub(/ *<[^<>]*>$/, "", line)) {}
    if (line ~ /operator/ || line !~ / /) next # no type before it: a deduction guide
    name = line
    sub(/.*[^A-Za-z0-9_]/, "", name)
  }
  if (name != "") expect(name)
}

END {
  if (depth) print previous ": a namespace is not closed by `} // namespace NAME`"
}
