/* SPDX-License-Identifier: BSD-3-Clause */

#include <inttypes.h>
#include <jansson.h>
#include <time.h>

#include "base/pl_time.h"
#include "cert/pl_cert.h"
#include "scan.h"

/* More than this between the appliance's clock and ours is worth a word. */
#define CLOCK_APART_MS 2000

static const struct {
	uint8_t bit;
	const char *name, *text;
} flags[] = {
#define F(id, bit, name, text) {1u << (bit), name, text},
	PL_STATE_FLAGS(F)
#undef F
};

static const char *utc(uint32_t at_s, char text[32])
{
	time_t t = (time_t)at_s;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
	return text;
}

static int64_t clock_apart_ms(const struct pl_client_result *r)
{
	return (int64_t)r->now_ms - (int64_t)(pl_time_ns(CLOCK_REALTIME) / 1000000u);
}

static int exit_code(const struct pl_client_result *r)
{
	if (!r->answered)
		return SCAN_EXIT_NONE;
	/* Groups and exit codes are the same numbers. */
	return (int)pl_verdict_group(PL_WIRE_VERDICT_CODE(r->verdicts[0]));
}

static void print_state(const struct scan_outcome *o)
{
	const struct pl_client_result *r = &o->result;
	const char *state = pl_state_name(r->state);
	char addr[PL_CLIENT_ADDR_TEXT_SIZE], when[32];
	int64_t apart_ms = clock_apart_ms(r);

	pl_client_addr_text(&o->args->conf.addrs[r->addr_idx], addr);
	printf("appliance:    %s, %s\n", addr, state == NULL ? "in a state unknown here" : state);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(flags); i++)
		if (r->flags & flags[i].bit)
			printf("              %s\n", flags[i].text);
	printf("certificates: as of %s\n", r->as_of == 0 ? "never" : utc(r->as_of, when));
	if (r->waiver_until != 0)
		printf("waiver:       fines are waived until %s\n", utc(r->waiver_until, when));
	if (r->retry_after_ms != 0)
		printf("ask again:    after %u ms\n", r->retry_after_ms);
	if (apart_ms > CLOCK_APART_MS || apart_ms < -CLOCK_APART_MS)
		printf("clock:        the appliance's is %+.1f s from ours\n",
		       (double)apart_ms / 1e3);
}

static void print_words(const struct scan_outcome *o)
{
	const struct pl_client_result *r = &o->result;
	uint32_t word = r->verdicts[0], code = PL_WIRE_VERDICT_CODE(word);
	const char *name = pl_verdict_name(code), *text = pl_verdict_text(code);
	const char *group = pl_group_name(pl_verdict_group(code));
	const char *kind = pl_cert_kind_name(PL_WIRE_VERDICT_KIND(word));

	if (code == PL_V_PASS)
		printf("%s: %s\n", group, text);
	else if (name != NULL)
		printf("%s %s: %s\n", group, name, text);
	else
		printf("%s 0x%02x: a verdict that this version does not know\n", group, code);
	printf("certificate:  %016" PRIx64 "%s%s\n", o->token.cert_id, kind == NULL ? "" : ", ",
	       kind == NULL ? "" : kind);
	if (PL_WIRE_VERDICT_FLAGS(word) & PL_WIRE_VERDICT_RESEND)
		printf("              this scan had been accepted before\n");
	if (r->answered)
		print_state(o);
}

static json_t *flag_names(uint8_t set)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < PL_ARRAY_CNT(flags); i++)
		if (set & flags[i].bit)
			json_array_append_new(list, json_string(flags[i].name));
	return list;
}

static void add_reply(json_t *j, const struct scan_outcome *o)
{
	const struct pl_client_result *r = &o->result;
	const char *state = pl_state_name(r->state);
	char addr[PL_CLIENT_ADDR_TEXT_SIZE];

	pl_client_addr_text(&o->args->conf.addrs[r->addr_idx], addr);
	json_object_set_new(j, "address", json_string(addr));
	json_object_set_new(j, "appliance_id", json_integer(r->appliance_queue >> 8));
	json_object_set_new(j, "queue", json_integer(r->appliance_queue & 0xff));
	json_object_set_new(j, "state", state == NULL ? json_null() : json_string(state));
	json_object_set_new(j, "flags", flag_names(r->flags));
	json_object_set_new(j, "as_of", json_integer(r->as_of));
	json_object_set_new(j, "waiver_until", json_integer(r->waiver_until));
	json_object_set_new(j, "retry_after_ms", json_integer(r->retry_after_ms));
	json_object_set_new(j, "now_ms", json_integer((json_int_t)r->now_ms));
	json_object_set_new(j, "rtt_us", json_real((double)r->rtt_ns / 1e3));
}

static void print_json(const struct scan_outcome *o)
{
	const struct pl_client_result *r = &o->result;
	uint32_t word = r->verdicts[0], code = PL_WIRE_VERDICT_CODE(word);
	const char *name = pl_verdict_name(code), *text = pl_verdict_text(code);
	const char *kind = pl_cert_kind_name(PL_WIRE_VERDICT_KIND(word));
	uint32_t resend = PL_WIRE_VERDICT_FLAGS(word) & PL_WIRE_VERDICT_RESEND;
	json_t *j = json_object();
	char id[20];

	snprintf(id, sizeof(id), "%016" PRIx64, o->token.cert_id);
	json_object_set_new(j, "group", json_string(pl_group_name(pl_verdict_group(code))));
	json_object_set_new(j, "verdict", name == NULL ? json_null() : json_string(name));
	json_object_set_new(j, "code", json_integer(code));
	json_object_set_new(j, "text", text == NULL ? json_null() : json_string(text));
	json_object_set_new(j, "kind", kind == NULL ? json_null() : json_string(kind));
	json_object_set_new(j, "resend", json_boolean(resend != 0));
	json_object_set_new(j, "cert_id", json_string(id));
	json_object_set_new(j, "shown_at", json_integer(o->token.shown_at));
	json_object_set_new(j, "venue_class", json_integer(PL_VENUE_CLASS(o->args->venue_id)));
	json_object_set_new(j, "venue_number", json_integer(o->args->venue_id & 0xffffff));
	json_object_set_new(j, "scan_id", json_integer(o->scan_id));
	json_object_set_new(j, "attempts", json_integer(r->attempts));
	json_object_set_new(j, "answered", json_boolean(r->answered));
	if (r->answered)
		add_reply(j, o);
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}

int scan_report(const struct scan_outcome *o)
{
	if (o->args->json)
		print_json(o);
	else
		print_words(o);
	return exit_code(&o->result);
}
