# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# For the end-to-end tests, to be sourced by each *.test: checks that print TAP, and a work
# directory. What it builds on (spawn, wait_until, ns_add, ns_veth, huge_reserve, at_exit) is in
# scripts/lib.sh. A test ends with done_testing; one that dies before that has failed.
#
# The runner sets PL_BUILD, the build directory whose programs are tried.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

PL_BUILD=${PL_BUILD:-$pl_root/build}
_tap_done=0
_tap_failed=0

work_dir e2e_dir
# shellcheck disable=SC2154 # work_dir sets it
log "# work directory $e2e_dir, build $PL_BUILD"

# pl_bin NAME: the path of a program of ours (passline, passline-scan, ...).
pl_bin() {
	local path

	path=$(find "$PL_BUILD/app" -type f -name "$1" -perm -u+x -print -quit)
	[ -n "$path" ] || die "$1 is not in $PL_BUILD: build it first"
	printf '%s\n' "$path"
}

pass() {
	_tap_done=$((_tap_done + 1))
	printf 'ok %d - %s\n' "$_tap_done" "$1"
}

# fail WHAT [DETAIL...]: details become comments of the result.
fail() {
	_tap_done=$((_tap_done + 1))
	_tap_failed=$((_tap_failed + 1))
	printf 'not ok %d - %s\n' "$_tap_done" "$1"
	shift
	[ $# = 0 ] || printf '%s\n' "$@" | sed 's/^/#   /'
}

# ok WHAT COMMAND...: the command succeeds.
ok() {
	local what=$1 output

	shift
	if output=$("$@" 2>&1); then
		pass "$what"
	else
		fail "$what" "exit $?: $*" "$output"
	fi
}

# exits STATUS WHAT COMMAND...: the command ends with just this status. Its output, both
# channels, is left in $output for further checks.
exits() {
	local want=$1 what=$2 got=0

	shift 2
	output=$("$@" 2>&1) || got=$?
	if [ "$got" = "$want" ]; then
		pass "$what"
	else
		fail "$what" "exit $got, not $want: $*" "$output"
	fi
}

# is WHAT GOT WANT: the two are the same text.
is() {
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		fail "$1" "got:  $2" "want: $3"
	fi
}

# like WHAT GOT REGEX: the text has a match of the extended regular expression.
like() {
	if grep -Eq -- "$3" <<<"$2"; then
		pass "$1"
	else
		fail "$1" "no match of /$3/ in:" "$2"
	fi
}

# skip_all WHY: nothing here can be tried on this machine.
skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

done_testing() {
	printf '1..%d\n' "$_tap_done"
	[ "$_tap_failed" = 0 ] || exit 1
}
