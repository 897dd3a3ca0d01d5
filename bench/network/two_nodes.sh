#!/usr/bin/env bash
# Two nodes on one machine: network namespaces with a cable between them that is as slow as one asks
# for. Needs root, or rather the right to make namespaces.
#
#   two_nodes.sh up RATE            RATE as tc writes it: 1gbit, 100mbit
#   two_nodes.sh run RANKS COMMAND  an Open MPI job of RANKS ranks on each node, by TCP between them
#   two_nodes.sh sent               the bytes that each end has sent so far, headers included
#   two_nodes.sh down
#
# Each node has a core of its own, as nodes do, which its ranks share. (Where ranks of both nodes run
# wherever there is room, neither knows that cores are few, and all of them poll: 16 MiB on two ranks a
# node took 240 ms at 1 Gbit/s, with a core for each node 175.)
# The cable has large frames (9,000 bytes), so that headers are less than a percent of what is sent.
set -euo pipefail
a=tutti-a b=tutti-b
a_address=10.77.0.1 b_address=10.77.0.2

case ${1-} in
  up)
    ip netns add $a
    ip netns add $b
    ip link add $a mtu 9000 netns $a type veth peer name $b mtu 9000 netns $b
    ip -n $a addr add $a_address/24 dev $a
    ip -n $b addr add $b_address/24 dev $b
    for node in $a $b; do
      ip -n $node link set lo up
      ip -n $node link set $node up
      ip netns exec $node tc qdisc add dev $node root tbf rate "$2" burst 256kb latency 100ms
    done
    ;;
  down)
    for node in $a $b; do ip netns del $node 2>/dev/null || true; done
    ;;
  sent)
    for node in $a $b; do ip netns exec $node cat /sys/class/net/$node/statistics/tx_bytes; done
    ;;
  agent) # starts the launcher's daemon on the other node: agent ADDRESS COMMAND...
    shift 2
    exec ip netns exec $b unshare --uts ${tutti_core_of_b:+taskset -c "$tutti_core_of_b"} \
      sh -c "hostname $b; $*"
    ;;
  run)
    ranks=$2
    shift 2
    network=10.77.0.0/24
    export tutti_address_of_a=$a_address
    core_of_a=
    if (($(nproc) > 1)); then
      core_of_a=0
      export tutti_core_of_b=1 # for the agent
    fi
    exec ip netns exec $a unshare --uts ${core_of_a:+taskset -c "$core_of_a"} sh -c "hostname $a; exec \"\$@\"" sh \
      mpirun --mca plm_rsh_agent "$(realpath "$0") agent" --mca plm_rsh_no_tree_spawn 1 \
      --mca btl self,vader,tcp --mca btl_tcp_if_include $network --mca oob_tcp_if_include $network \
      --bind-to none --host $a_address:"$ranks",$b_address:"$ranks" --oversubscribe -n $((2 * ranks)) "$@"
    ;;
  *)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
