# shellcheck shell=bash
# Sourced by tests/acceptance.sh: the audit with many canaries, and epsilons beside those of dp-accounting, from Python's
# package index.

# many_canaries TEST_PRIVACY HOW_MANY
many_canaries() {
  local log=$out/canaries.log
  if "$1" --run_test=privacy_audit --log_level=message -- --canaries "$2" >"$log" 2>&1; then
    ok "privacy: $(grep -o 'claimed.*' "$log"), $2 canaries"
  else
    tail -n 20 "$log"
    not_ok "privacy: see $log"
  fi
}

# account_in_python TEST_FEDERATED
account_in_python() {
  local folder=$out/privacy venv=$out/privacy/venv
  mkdir -p "$folder"
  (install_packages acceptance && { [[ -f $venv/ready ]] ||
    { rm -rf "$venv" && python3 -m venv "$venv" && "$venv/bin/pip" install -q dp-accounting==0.6.0 &&
      touch "$venv/ready"; }; }) >"$folder/venv.log" 2>&1 || {
    tail -n 5 "$folder/venv.log"
    not_ok "dp-accounting: it could not be had from the package index, see $folder/venv.log"
    return
  }
  "$1" --run_test=privacy_loss_accounting -- --peer "$folder/values" >"$folder/values.log" 2>&1 ||
    not_ok "privacy: see $folder/values.log"
  "$venv/bin/python" tests/privacy/peer.py "$folder/values" || failures=$((failures + 1))
}
