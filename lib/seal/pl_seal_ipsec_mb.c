/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AES-256-GCM by libipsec-mb's direct calls, one for a message. Its job interface was measured
 * too: it runs GCM jobs one by one through the same code, and adds the job to the cost
 * (docs/performance.md, "Token and seal").
 */

#include <errno.h>

#include <intel-ipsec-mb.h>
#include <sodium.h>

#include "seal/pl_seal_pvt.h"

static_assert(sizeof(((struct gcm_key_data *)0)->expanded_keys) +
			      sizeof(((struct gcm_key_data *)0)->ghash_keys) <=
		      PL_SEAL_KEY_DATA_SIZE,
	      "expanded key");
static_assert(alignof(struct gcm_key_data) <= alignof(struct pl_seal_key), "expanded key");

/* What a direct call needs of the manager are three function pointers; the manager itself, 200 KB
 * of queues for jobs, is freed again. */
struct pl_seal_ipsec_mb {
	alignas(PL_CACHE_LINE) struct gcm_context_data ctx PL_OWNED_BY(thread);
	aes_gcm_enc_dec_t seal PL_FROZEN_AFTER(create);
	aes_gcm_enc_dec_t open PL_FROZEN_AFTER(create);
	aes_gcm_pre_t expand PL_FROZEN_AFTER(create);
};

static const struct gcm_key_data *key_data(const struct pl_seal_key *k)
{
	PL_DCHECK(k->engine == PL_SEAL_IPSEC_MB);
	return (const struct gcm_key_data *)k->data;
}

static void ipsec_mb_expand(const struct pl_seal *s, struct pl_seal_key *k,
			    const uint8_t key[PL_SEAL_KEY_SIZE])
{
	s->ipsec_mb->expand(key, (struct gcm_key_data *)k->data);
}

/* Equal or not, in a time that does not tell where they differ. */
static bool tags_equal(const uint8_t *a, const uint8_t *b)
{
	uint64_t diff =
		(pl_le64_get(a) ^ pl_le64_get(b)) | (pl_le64_get(a + 8) ^ pl_le64_get(b + 8));

	/* The compiler must not see that only zero or not zero matters, and split the test. */
	__asm__("" : "+r"(diff));
	return diff == 0;
}

static void prefetch_ahead(const struct pl_seal_op *ops, uint32_t i, uint32_t op_cnt)
{
	if (i + PL_SEAL_KEYS_AHEAD < op_cnt)
		pl_seal_key_prefetch(ops[i + PL_SEAL_KEYS_AHEAD].key);
}

static uint32_t ipsec_mb_open_burst(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt)
{
	struct pl_seal_ipsec_mb *mb = s->ipsec_mb;
	uint32_t ok_cnt = 0;

	for (uint32_t i = 0; i < op_cnt; i++) {
		struct pl_seal_op *op = &ops[i];
		uint8_t tag[PL_SEAL_TAG_SIZE];

		prefetch_ahead(ops, i, op_cnt);
		mb->open(key_data(op->key), &mb->ctx, op->text, op->text, op->text_size, op->nonce,
			 op->aad, op->aad_size, tag, sizeof(tag));
		op->ok = tags_equal(tag, op->tag);
		ok_cnt += op->ok;
	}
	return ok_cnt;
}

static void ipsec_mb_seal_burst(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt)
{
	struct pl_seal_ipsec_mb *mb = s->ipsec_mb;

	for (uint32_t i = 0; i < op_cnt; i++) {
		struct pl_seal_op *op = &ops[i];

		prefetch_ahead(ops, i, op_cnt);
		mb->seal(key_data(op->key), &mb->ctx, op->text, op->text, op->text_size, op->nonce,
			 op->aad, op->aad_size, op->tag, PL_SEAL_TAG_SIZE);
		op->ok = true;
	}
}

static const char *variant_name(const IMB_MGR *mgr)
{
	const bool vaes = (mgr->features & IMB_FEATURE_VAES) != 0 &&
			  (mgr->features & IMB_FEATURE_VPCLMULQDQ) != 0;

	switch (mgr->used_arch) {
	case IMB_ARCH_NOAESNI:
		return "ipsec-mb no-aesni";
	case IMB_ARCH_SSE:
		return "ipsec-mb sse";
	case IMB_ARCH_AVX:
		return "ipsec-mb avx";
	case IMB_ARCH_AVX2:
		return vaes ? "ipsec-mb avx2 vaes" : "ipsec-mb avx2";
	case IMB_ARCH_AVX512:
		return vaes ? "ipsec-mb avx512 vaes" : "ipsec-mb avx512";
	default:
		return "ipsec-mb";
	}
}

static int choose_code(IMB_MGR *mgr, enum pl_seal_ipsec_mb_code code)
{
	const uint64_t aes = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;

	if (code == PL_SEAL_IPSEC_MB_NO_AESNI) {
		if ((mgr->features & IMB_FEATURE_AESNI_EMU) == 0)
			return -ENOTSUP;
		init_mb_mgr_sse(mgr);
	} else {
		if ((mgr->features & aes) != aes)
			return -ENOTSUP;
		init_mb_mgr_auto(mgr, NULL);
	}
	if (imb_get_errno(mgr) != 0 || mgr->gcm256_enc == NULL || mgr->gcm256_dec == NULL)
		return -ENOTSUP;
	/* Its own known-answer tests, where the library has them. */
	if ((mgr->features & IMB_FEATURE_SELF_TEST) != 0 &&
	    (mgr->features & IMB_FEATURE_SELF_TEST_PASS) == 0)
		return -ENOTSUP;
	return 0;
}

int pl_seal_ipsec_mb_init(struct pl_seal *s, enum pl_seal_ipsec_mb_code code)
{
	static const struct pl_seal_funcs funcs = {
		.expand = ipsec_mb_expand,
		.open_burst = ipsec_mb_open_burst,
		.seal_burst = ipsec_mb_seal_burst,
	};
	IMB_MGR *mgr = alloc_mb_mgr(code == PL_SEAL_IPSEC_MB_NO_AESNI ? IMB_FLAG_AESNI_OFF : 0);
	struct pl_seal_ipsec_mb *mb;
	int rc;

	if (mgr == NULL)
		return imb_get_errno(NULL) == ENOMEM ? -ENOMEM : -ENOTSUP;
	rc = choose_code(mgr, code);
	if (rc < 0)
		goto out;
	mb = aligned_alloc(alignof(struct pl_seal_ipsec_mb), sizeof(*mb));
	if (mb == NULL) {
		rc = -ENOMEM;
		goto out;
	}
	*mb = (struct pl_seal_ipsec_mb){
		.seal = mgr->gcm256_enc,
		.open = mgr->gcm256_dec,
		.expand = mgr->gcm256_pre,
	};
	s->funcs = &funcs;
	s->engine = PL_SEAL_IPSEC_MB;
	s->variant = variant_name(mgr);
	s->ipsec_mb = mb;
out:
	free_mb_mgr(mgr);
	return rc;
}

void pl_seal_ipsec_mb_fini(struct pl_seal *s)
{
	sodium_memzero(s->ipsec_mb, sizeof(*s->ipsec_mb));
	free(s->ipsec_mb);
	s->ipsec_mb = NULL;
}
