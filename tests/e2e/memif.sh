# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is used by the tests, and the reverse
#
# The appliance and passline-load as two processes over memif. To be sourced after lib.sh, appliance.sh
# and nation.sh.

# memif_appliance: a ready appliance in $site with the nation's passes, $appliance_pid, its log in
# $site/log.
memif_appliance() {
	# A memif client shares its memory by descriptor: it needs hugepages, and all in few files.
	huge_reserve 640 huge || skip_all "no hugepages"
	site=$e2e_dir/site
	socket=$e2e_dir/memif.sock
	appliance_device=net_memif0
	# A worker that sleeps while nothing comes is hardly ever inside the driver when a client goes: the
	# memif driver frees the memory that they share at once, under a worker that is preempted there too.
	appliance_site "$site" "worker.idle = sleep"
	nation_make "$e2e_dir" >/dev/null
	nation_feed "$e2e_dir"
	appliance_prefix=pl-e2e-$$
	memif_start
	ok "the appliance is ready" wait_until "$appliance_start_s" grep -q 'passline: ready' "$site/log"
	mkdir -p "$e2e_dir/state"
}

# memif_start: the appliance of memif_appliance, again.
memif_start() {
	rm -f "$site/log" "$socket" # or its last life would seem to be this one
	spawn appliance_pid "$site/log" "$(pl_bin passline)" -l 0,1 -m 320 --huge-dir "$huge" \
		--single-file-segments --no-pci --file-prefix "$appliance_prefix" --log-level warning \
		--vdev "net_memif0,role=server,id=0,socket=$socket,socket-abstract=no" -- "$site/passline.conf"
}

# load OPTION...: passline-load at the other end.
load() {
	"$(pl_bin passline-load)" -l 0 -m 256 --huge-dir "$huge" --single-file-segments --no-pci \
		--file-prefix "$appliance_prefix-load" --log-level error \
		--vdev "net_memif0,role=client,id=0,socket=$socket,socket-abstract=no,zero-copy=yes" -- \
		--key-dir "$e2e_dir/authority/gateway" --state-dir "$e2e_dir/state" \
		--token-keys "$e2e_dir/authority/token" --seed "$nation_seed" --certs "$nation_certs" \
		--as-of "$nation_day" --time-zone UTC --json \
		--telemetry "/var/run/dpdk/$appliance_prefix/dpdk_telemetry.v2" "$@" 2>"$e2e_dir/load.err"
}
