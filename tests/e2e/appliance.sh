# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is used by the tests, and the reverse
#
# An appliance to try things on: two namespaces joined by a cable, ours at one end of it. To be
# sourced after lib.sh. Its keys are of nobody: for tests that need valid passes an authority makes
# its own.

# What the libraries under DPDK's drivers forget is not ours to mend.
export LSAN_OPTIONS=suppressions=$pl_root/tests/e2e/lsan.supp:print_suppressions=0

appliance_ip4=10.77.0.1
appliance_ip6=fd77::1
# Seconds that a start may take, on a slow machine or with a sanitizer.
appliance_start_s=${PL_START_S:-60}

# appliance_site DIR [LINE...]: a site directory with keys, an empty feed and passline.conf; each LINE
# "section.key = value" is added to the configuration, "port.vlan = 7" for example.
appliance_site() {
	local dir=$1 section line
	shift

	mkdir -p "$dir"/{token,gateways,feed,state}
	chmod 700 "$dir"/{token,gateways,state}
	# RFC 8032, 7.1, test 1: a public key whose secret half is public, too.
	echo "passline-authority-public 1 00000000000000aa" \
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" >"$dir/authority.pub"
	(
		umask 077
		echo "passline-token-key 1 0 000102030405060708090a0b0c0d0e0f" >"$dir/token/0.key"
		echo "passline-gateway-key 1 1 0" \
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" \
			>"$dir/gateways/1.key"
	)
	added() {
		section=$1
		shift
		for line in "$@"; do
			[[ $line != "$section".* ]] || echo "${line#*.}"
		done
	}
	cat >"$dir/passline.conf" <<-EOF2
		[site]
		name = e2e
		appliance-id = 1
		time-zone = UTC
		state-dir = state
		$(added site "$@")
		[port a]
		device = ${appliance_device:-net_af_packet0}
		addresses = $appliance_ip4/24, $appliance_ip6/64
		$(added port "$@")
		[keys]
		authority = authority.pub
		token-dir = token
		gateway-dir = gateways
		[feed]
		dir = feed
		$(added feed "$@")
		[table]
		capacity = 10000
		memory = pages
		path = /dev/shm/passline-e2e-$$
		$(added table "$@")
		[clock]
		need-synchronised = no
		[worker]
		drain = 100 ms
		$(added worker "$@")
	EOF2
	at_exit rm -f "/dev/shm/passline-e2e-$$" "/dev/shm/passline-e2e-$$.new"
}

# appliance_cable: namespaces $client and $server with veth0 in each; the client's end has
# addresses.
appliance_cable() {
	ns_add client client
	ns_add server server
	# shellcheck disable=SC2154 # ns_add sets them
	ns_veth "$client" veth0 "$server" veth0
	# The port belongs to the appliance: the kernel has no address there, of its own making
	# neither.
	ip netns exec "$server" sysctl -qw net.ipv6.conf.veth0.disable_ipv6=1
	ip -n "$client" addr add 10.77.0.2/24 dev veth0
	ip -n "$client" addr add fd77::2/64 dev veth0 nodad
}

# appliance_start DIR [EAL OPTION...]: passline in $server with $appliance_pid and its log in
# $appliance_log; waits until it answers. $appliance_driver: af_packet or af_xdp.
appliance_start() {
	local dir=$1
	shift

	appliance_log=$dir/log
	appliance_prefix=pl-e2e-$$
	rm -f "$appliance_log" # or its last life would seem to be this one
	spawn appliance_pid "$appliance_log" ip netns exec "$server" "$(pl_bin passline)" -l 0,1 \
		--no-huge -m 512 --no-pci --file-prefix "$appliance_prefix" --log-level warning \
		--vdev "net_${appliance_driver:-af_packet}0,iface=veth0" "$@" -- "$dir/passline.conf"
	wait_until "$appliance_start_s" grep -q 'passline: answering' "$appliance_log"
}

# appliance_stop: by SIGTERM; leaves its exit status in $appliance_status.
appliance_stop() {
	appliance_status=0
	kill -TERM "$appliance_pid" 2>/dev/null || true # it may have stopped by itself
	wait "$appliance_pid" || appliance_status=$?
}

# telemetry COMMAND: the answer, as JSON.
telemetry() {
	echo "/passline/$1" | dpdk-telemetry.py -f "$appliance_prefix" 2>&1
}

# telemetry_value COMMAND NAME: one number or word of the answer.
telemetry_value() {
	telemetry "$1" | "$PYTHON" -c '
import json, sys
answer = next(iter(json.loads(sys.stdin.read()).values()))
print(answer[sys.argv[1]])' "$2"
}
