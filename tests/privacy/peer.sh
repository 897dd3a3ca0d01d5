# shellcheck shell=bash
# Sourced by tests/acceptance.sh: the audit with many canaries, and epsilons beside those of dp-accounting, from Python's
# package index.

# many_canaries TEST_PRIVACY HOW_MANY
many_canaries() { run_case "privacy, $2 canaries: " "$1" privacy_audit 'claimed.*' --canaries "$2"; }

# account_in_python TEST_FEDERATED
account_in_python() {
  local folder=$out/dp-accounting python
  python_with dp-accounting dp-accounting==0.6.0 || return
  "$1" --run_test=privacy_loss_accounting -- --peer "$folder/values" >"$folder/values.log" 2>&1 ||
    not_ok "privacy: see $folder/values.log"
  "$python" tests/privacy/peer.py "$folder/values" || failures=$((failures + 1))
}
