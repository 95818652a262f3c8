/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: gateways and their keys, and epochs of token keys. */
#include "registry_fixture.h"

static int gateway_found(void *ctx, const struct pl_registry_gateway *g)
{
	char *text = ctx;

	sprintf(text + strlen(text), "%u/%u=%s ", g->id, g->key_epoch, g->name);
	return 0;
}

static void test_gateways_have_one_name_and_a_key_an_epoch(void **state)
{
	char text[256] = "";
	struct pl_registry_gateway g = {.id = UINT32_MAX, .key_epoch = 255, .name = "Naver"};
	char long_name[PL_REGISTRY_NAME_MAX + 2];

	(void)state;
#define ADD(id_, epoch_, name_)                                  \
	(g.id = (id_), g.key_epoch = (epoch_), g.name = (name_), \
	 pl_registry_gateway_add(fx.registry, &g, E))
	assert_int_equal(ADD(UINT32_MAX, 255, "Naver"), 0);
	assert_int_equal(ADD(7, 0, "Kakao"), 0);
	assert_int_equal(ADD(7, 1, "Kakao"), 0);
	assert_int_equal(ADD(7, 1, "Kakao"), -EEXIST);
	assert_int_equal(ADD(7, 2, "Toss"), -EEXIST);
	assert_non_null(strstr(fx.error, "gateway 7 is \"Kakao\""));
	assert_int_equal(ADD(8, 0, "Naver"), -EEXIST);
	assert_non_null(strstr(fx.error, "gateway 4294967295 is \"Naver\""));
	assert_int_equal(ADD(9, 0, ""), -EINVAL);
	assert_int_equal(ADD(9, 0, "a\nb"), -EINVAL);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(ADD(9, 0, long_name), -EINVAL);
#undef ADD
	assert_int_equal(pl_registry_gateway_each(fx.registry, gateway_found, text, E), 0);
	assert_string_equal(text, "7/0=Kakao 7/1=Kakao 4294967295/255=Naver ");
}

static void test_key_epochs_are_kept(void **state)
{
	uint8_t mask, epoch;

	(void)state;
	assert_int_equal(pl_registry_epochs(fx.registry, &mask, E), 0);
	assert_int_equal(mask, 0);
	assert_int_equal(pl_registry_epoch_issuing(fx.registry, &epoch, E), -ENOENT);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 7, E), 0);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 0, E), 0);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 7, E), -EEXIST);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 1, E), -E2BIG);
	assert_non_null(strstr(fx.error, "token retire"));
	assert_int_equal(pl_registry_epochs(fx.registry, &mask, E), 0);
	assert_int_equal(mask, 0x81);
	/* The first is what new certificates get, until told otherwise. */
	assert_int_equal(pl_registry_epoch_issuing(fx.registry, &epoch, E), 0);
	assert_int_equal(epoch, 7);
	assert_int_equal(pl_registry_epoch_retire(fx.registry, 7, E), -EBUSY);
	assert_int_equal(pl_registry_epoch_use(fx.registry, 3, E), -ENOENT);
	assert_int_equal(pl_registry_epoch_use(fx.registry, 0, E), 0);
	assert_int_equal(pl_registry_epoch_issuing(fx.registry, &epoch, E), 0);
	assert_int_equal(epoch, 0);
}

static void test_an_epoch_ends_when_no_certificate_is_under_it(void **state)
{
	struct pl_cert a = cert(1, 1), b = cert(UINT64_MAX, 1);
	struct pl_registry_filter filter = {.revoked = -1, .suspended = -1};
	struct pl_registry_commit done;
	uint64_t got[3], *at, cnt;
	uint8_t mask;

	(void)state;
	a.key_epoch = 6;
	b.key_epoch = 7;
	assert_int_equal(pl_registry_epoch_add(fx.registry, 6, E), 0);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 7, E), 0);
	assert_int_equal(pl_registry_epoch_use(fx.registry, 7, E), 0);
	assert_int_equal(pl_registry_begin(fx.registry, E), 0);
	assert_int_equal(pl_registry_put(fx.registry, &a, E), 0);
	assert_int_equal(pl_registry_put(fx.registry, &b, E), 0);
	assert_int_equal(pl_registry_commit(fx.registry, 1000, false, &done, E), 0);
	filter.epochs = 1u << 6;
	at = got;
	assert_int_equal(pl_registry_each(fx.registry, &filter, collect, &at, E), 0);
	assert_int_equal(at - got, 1);
	assert_int_equal(got[0], 1);
	filter.epochs = 1u << 7;
	at = got;
	assert_int_equal(pl_registry_each(fx.registry, &filter, collect, &at, E), 0);
	assert_int_equal(at - got, 1);
	assert_int_equal(got[0], UINT64_MAX);
	assert_int_equal(pl_registry_epoch_certs(fx.registry, 6, &cnt, E), 0);
	assert_int_equal(cnt, 1);
	assert_int_equal(pl_registry_epoch_retire(fx.registry, 6, E), -EBUSY);
	assert_non_null(strstr(fx.error, "1 certificates are under token key epoch 6"));
	a.key_epoch = 7;
	assert_int_equal(pl_registry_begin(fx.registry, E), 0);
	assert_int_equal(pl_registry_put(fx.registry, &a, E), 0);
	assert_int_equal(pl_registry_commit(fx.registry, 1000, false, &done, E), 0);
	assert_int_equal(pl_registry_epoch_retire(fx.registry, 6, E), 0);
	assert_int_equal(pl_registry_epoch_retire(fx.registry, 6, E), -ENOENT);
	assert_int_equal(pl_registry_epochs(fx.registry, &mask, E), 0);
	assert_int_equal(mask, 1u << 7);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 0, E), 0);
}

static void test_a_gateway_keeps_one_key_and_has_two_at_most(void **state)
{
	struct pl_registry_gateway g = {.id = 7, .name = "Kakao"};
	char text[64] = "";

	(void)state;
	assert_int_equal(pl_registry_gateway_add(fx.registry, &g, E), 0);
	assert_int_equal(pl_registry_gateway_retire(fx.registry, 7, 0, E), -EBUSY);
	assert_non_null(strstr(fx.error, "gateway rotate"));
	g.key_epoch = 1;
	assert_int_equal(pl_registry_gateway_add(fx.registry, &g, E), 0);
	g.key_epoch = 2;
	assert_int_equal(pl_registry_gateway_add(fx.registry, &g, E), -E2BIG);
	assert_int_equal(pl_registry_gateway_retire(fx.registry, 7, 2, E), -ENOENT);
	assert_int_equal(pl_registry_gateway_retire(fx.registry, 8, 0, E), -ENOENT);
	assert_int_equal(pl_registry_gateway_retire(fx.registry, 7, 0, E), 0);
	assert_int_equal(pl_registry_gateway_add(fx.registry, &g, E), 0);
	assert_int_equal(pl_registry_gateway_each(fx.registry, gateway_found, text, E), 0);
	assert_string_equal(text, "7/1=Kakao 7/2=Kakao ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_gateways_have_one_name_and_a_key_an_epoch),
		T(test_key_epochs_are_kept),
		T(test_an_epoch_ends_when_no_certificate_is_under_it),
		T(test_a_gateway_keeps_one_key_and_has_two_at_most),
	};

	hook_sqlite();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
