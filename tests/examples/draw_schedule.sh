#!/usr/bin/env bash
# draw_schedule.sh PROGRAM: what the output file holds after a drawing, and after none.
set -uo pipefail
. "$(dirname "$0")/../cmake/expect.sh"
program=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
drawing=$scratch/drawing.svg

"$program" --output "$drawing" >"$scratch/log" 2>&1
if [[ $? == 0 && $(head -c 4 "$drawing") == "<svg" && $(tail -n 1 "$drawing") == *"</svg>" ]]; then
  ok "a drawing is a whole SVG"
else
  not_ok "a drawing is no whole SVG:"$'\n'"$(cat "$scratch/log")"
fi

cp "$drawing" "$scratch/before.svg"
if "$program" --topology pat --collective reduce --output "$drawing" >"$scratch/log" 2>&1; then
  not_ok "pat has a reduce"
elif cmp "$drawing" "$scratch/before.svg"; then
  ok "a schedule that does not exist leaves the file as it was"
else
  not_ok "a schedule that does not exist has changed the file"
fi

if "$program" --output /dev/full >"$scratch/log" 2>&1; then
  not_ok "a full disk went unnoticed"
elif grep -q "cannot write /dev/full" "$scratch/log"; then
  ok "a full disk is an error"
else
  not_ok "a full disk is not named:"$'\n'"$(cat "$scratch/log")"
fi
((failures == 0))
