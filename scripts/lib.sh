# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the scripts share; to be sourced. Sets pl_root. Everything that changes the machine is
# undone when the script ends, also by INT, TERM or HUP: see at_exit.
#
# A function that sets a VARIABLE of its caller has locals named _pl_*: a local of the same name
# would be set in its stead.

# shellcheck disable=SC2034
pl_root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")

# Debian's Python, whatever is first in PATH: its modules are the ones that scripts/setup installs.
# shellcheck disable=SC2034
PYTHON=/usr/bin/python3

# --- saying things: to stderr, so that stdout stays for results -------------------------------

log() {
	printf '%s\n' "$*" >&2
}

warn() {
	printf 'warning: %s\n' "$*" >&2
}

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "$1 needs root: run it with sudo"
}

# --- undoing ------------------------------------------------------------------------------------

_exit_commands=()
_exit_pid=$BASHPID

# at_exit COMMAND [ARG...]: run it when the script ends, last registered first.
at_exit() {
	_exit_commands+=("$(printf '%q ' "$@")")
}

_run_exit_commands() {
	local status=$? i

	# A subshell inherits the list, not the duty.
	[ "$BASHPID" = "$_exit_pid" ] || return 0
	trap '' INT TERM HUP
	set +e
	for ((i = ${#_exit_commands[@]} - 1; i >= 0; i--)); do
		eval "${_exit_commands[i]}"
	done
	exit "$status"
}

trap _run_exit_commands EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Every process of DPDK leaves a directory with its shared files, megabytes of them in a file system that may be
# memory. Ours are named --file-prefix pl-NAME-$$[-MORE].
_dpdk_forget() {
	rm -rf --one-file-system /run/dpdk/pl-*-$$ /run/dpdk/pl-*-$$-*
}
at_exit _dpdk_forget # first here, so after everything was stopped

# A directory that goes when the script ends: work_dir VARIABLE.
work_dir() {
	local _pl_dir

	_pl_dir=$(mktemp -d "${TMPDIR:-/tmp}/passline.XXXXXX")
	at_exit rm -rf --one-file-system "$_pl_dir"
	printf -v "$1" '%s' "$_pl_dir"
}

# --- processes -----------------------------------------------------------------------------------

# stop_process PID [SECONDS]: TERM, then KILL if it is still there after so many seconds.
stop_process() {
	local pid=$1 left=$((${2:-10} * 10))

	kill -TERM "$pid" 2>/dev/null || return 0
	while kill -0 "$pid" 2>/dev/null && [ "$((left--))" -gt 0 ]; do
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

# spawn VARIABLE LOG COMMAND...: start it in the background with its output in LOG; VARIABLE gets
# its process id. It is stopped when the script ends.
spawn() {
	local _pl_variable=$1 _pl_log=$2

	shift 2
	"$@" >"$_pl_log" 2>&1 </dev/null &
	at_exit stop_process "$!"
	printf -v "$_pl_variable" '%s' "$!"
}

# wait_until SECONDS COMMAND...: until COMMAND succeeds; fails when the time is over.
wait_until() {
	local left=$(($1 * 20))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "$((left--))" -gt 0 ] || return 1
		sleep 0.05
	done
}

# --- hugepages -------------------------------------------------------------------------------------

_nr_hugepages=/proc/sys/vm/nr_hugepages
_huge_lock=${PASSLINE_HUGE_LOCK:-/run/lock/passline-hugepages.lock}

# Change the number of 2 MB pages of the machine by $1; prints by how many it really changed.
_huge_change() {
	(
		flock 9
		before=$(cat "$_nr_hugepages")
		want=$((before + $1))
		echo "$((want > 0 ? want : 0))" 2>/dev/null >"$_nr_hugepages" || true
		echo "$(($(cat "$_nr_hugepages") - before))"
	) 9>"$_huge_lock"
}

_huge_give_back() {
	_huge_change "-$1" >/dev/null
}

# huge_reserve MEGABYTES VARIABLE: that many MB of 2 MB pages more than the machine had, and a
# hugetlbfs mount of our own whose path VARIABLE gets. Both go when the script ends. Fails, with
# nothing changed, where the machine cannot give them.
huge_reserve() {
	local _pl_pages=$((($1 + 1) / 2)) _pl_got _pl_dir

	[ -w "$_nr_hugepages" ] || return 1
	_pl_got=$(_huge_change "$_pl_pages")
	if [ "$_pl_got" -lt "$_pl_pages" ]; then
		[ "$_pl_got" -le 0 ] || _huge_give_back "$_pl_got"
		return 1
	fi
	at_exit _huge_give_back "$_pl_pages"
	_pl_dir=$(mktemp -d "${TMPDIR:-/tmp}/passline-huge.XXXXXX")
	if ! mount -t hugetlbfs -o pagesize=2M,mode=0700 none "$_pl_dir"; then
		rmdir "$_pl_dir"
		return 1
	fi
	at_exit rmdir "$_pl_dir"
	at_exit umount "$_pl_dir"
	printf -v "$2" '%s' "$_pl_dir"
}

# --- network namespaces ------------------------------------------------------------------------------

# ns_add VARIABLE LABEL: a namespace whose name no other run has, with its loopback up.
ns_add() {
	local _pl_name="pl-$2-$$"

	ip netns add "$_pl_name" || return 1
	at_exit ip netns del "$_pl_name"
	ip -n "$_pl_name" link set lo up
	# No router or duplicate-address chatter: what is on the wire is what a test put there.
	ip netns exec "$_pl_name" sysctl -qw net.ipv6.conf.all.accept_ra=0 \
		net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
	printf -v "$1" '%s' "$_pl_name"
}

# ns_veth NS_A IF_A NS_B IF_B: a cable between two namespaces, both ends up, without offloads:
# what arrives is a frame as a wire would carry it, its checksums filled in.
ns_veth() {
	ip -n "$1" link add "$2" type veth peer name "$4" netns "$3"
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
	ip netns exec "$1" ethtool -K "$2" rx off tx off gso off gro off tso off >/dev/null
	ip netns exec "$3" ethtool -K "$4" rx off tx off gso off gro off tso off >/dev/null
}
