# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is used by the tests, and the reverse
#
# An authority with a small nation, for tests that need passes that hold. To be sourced after lib.sh
# and appliance.sh.

nation_seed=11
nation_certs=${nation_certs:-6000}
nation_day=$(date -u +%F) # appliance_site says UTC

# nation_make DIR: an authority in DIR/authority, one certificate of each fate besides the
# population, two gateways; all of it handed to the site in DIR/site, which appliance_site made.
nation_make() {
	local dir=$1 authority
	authority=$(pl_bin passline-authority)

	export PASSLINE_AUTHORITY_DIR=$dir/authority
	TZ=UTC "$authority" keygen
	TZ=UTC "$authority" population --certs "$nation_certs" --seed "$nation_seed" --as-of "$nation_day"
	cat >"$dir/fates.csv" <<-EOF2
		id,kind,event_date,revoked,suspended
		0xa001,booster,$(date -u -d '-3 days' +%F),0,0
		0xa002,booster,$(date -u -d '-3 days' +%F),0,0
		0xa003,booster,$(date -u -d '-3 days' +%F),1,0
		0xa004,booster,$(date -u -d '-3 days' +%F),0,1
		0xa005,primary,$(date -u -d '-3 days' +%F),0,0
		0xa006,primary,$(date -u -d '-300 days' +%F),0,0
	EOF2
	TZ=UTC "$authority" issue "$dir/fates.csv"
	TZ=UTC "$authority" gateway add --id 7 --name seven
	TZ=UTC "$authority" gateway add --id 8 --name eight
	TZ=UTC "$authority" publish
	cp "$dir/authority/authority-public.key" "$dir/site/authority.pub"
	rm -f "$dir/site/token"/* "$dir/site/gateways"/*
	cp "$dir/authority/token"/* "$dir/site/token/"
	cp "$dir/authority/gateway"/* "$dir/site/gateways/"
}

# nation_feed DIR: the segments, to the site.
nation_feed() {
	cp "$1/authority/feed"/*.plseg "$1/site/feed/"
}

# nation_qr ID [WALLET OPTION...]: the text of a certificate's QR code.
nation_qr() {
	"$(pl_bin passline-authority)" wallet "$@"
}

# json_value NAME: a field, perhaps a.b, of the JSON object on stdin.
json_value() {
	"$PYTHON" -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[name]
print(json.dumps(value) if isinstance(value, (dict, list, bool)) or value is None else value)' "$1"
}
