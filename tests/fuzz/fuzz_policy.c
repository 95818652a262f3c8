/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a policy file: accepted rules stay within their arrays, give every facts word a
 * verdict that rules may give, and mean the same when they are written out and read again.
 */
#include "policy/pl_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pl_policy policy;
static struct pl_policy again;
static struct pl_policy_names names;
static struct pl_policy_names names_again;
static char notes[PL_POLICY_NOTES_SIZE];
static char text[131072];

static void check_judge(void)
{
	static const int32_t days[] = {0, 1, 13, 14, 180, 181, 18974, 65535};

	for (uint32_t class = 0; class < PL_POLICY_CLASS_CNT; class ++)
		PL_CHECK(policy.class_profile[class] < policy.profile_cnt);
	for (uint32_t kind = 0; kind <= PL_CERT_KIND_MAX; kind++)
		for (size_t i = 0; i < PL_ARRAY_CNT(days); i++) {
			uint32_t facts = kind | (uint32_t)days[PL_ARRAY_CNT(days) - 1 - i] << 4;
			enum pl_verdict v = pl_policy_judge(&policy, facts, (uint32_t)i, days[i]);

			PL_CHECK(v == PL_V_PASS || v == PL_V_NOT_YET_VALID || v == PL_V_EXPIRED ||
				 v == PL_V_NOT_ACCEPTED || v == PL_V_NO_RULE);
			PL_CHECK((v == PL_V_NO_RULE) == (pl_cert_kind_name(kind) == NULL));
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (pl_policy_parse("p.ini", (const char *)data, size, &policy, &names, notes,
			    sizeof(notes)) != 0) {
		PL_CHECK(strncmp(notes, "p.ini", 5) == 0);
		return 0;
	}
	PL_CHECK(policy.profile_cnt >= 1 && policy.profile_cnt <= PL_POLICY_PROFILE_MAX);
	PL_CHECK(policy.qr_life_s >= 1);
	check_judge();

	size = pl_policy_describe(&policy, &names, text, sizeof(text));
	PL_CHECK(size < sizeof(text));
	PL_CHECK(pl_policy_parse("again", text, size, &again, &names_again, notes, sizeof(notes)) ==
		 0);
	PL_CHECK(memcmp(&policy, &again, sizeof(policy)) == 0);
	PL_CHECK(memcmp(&names, &names_again, sizeof(names)) == 0);
	return 0;
}
