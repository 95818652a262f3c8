# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Completion for passlinectl. The program itself says which commands and options there are.

_passlinectl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} command='' word i=1

	# bash cuts words at '=', too.
	[ "$cur" = = ] && cur=''
	[ "$prev" = = ] && prev=${COMP_WORDS[COMP_CWORD - 2]}
	while [ "$i" -lt "$COMP_CWORD" ]; do
		word=${COMP_WORDS[i]}
		case $word in
		--socket | --timeout)
			i=$((i + 1))
			[ "${COMP_WORDS[i]}" = = ] && i=$((i + 1))
			;;
		-*) ;;
		*)
			command=$word
			break
			;;
		esac
		i=$((i + 1))
	done
	COMPREPLY=()
	case $prev in
	--socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--timeout | --last | --from | --limit) return ;;
	esac
	if [ -z "$command" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$program" --words 2>/dev/null)
			--socket --json --timeout --help --version" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$program" --words "$command" 2>/dev/null | tr -d =)
			--socket --json --timeout --help" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -W "$("$program" --words "$command" 2>/dev/null | tr -d =)" \
			-- "$cur"; compgen -f -- "$cur")
	fi
}
complete -o filenames -F _passlinectl passlinectl
