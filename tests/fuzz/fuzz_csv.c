/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a CSV file of certificates: the first line as the header, the others as lines by
 * it. What is accepted is a certificate that the feed may carry, and is the same after writing and
 * reading it again. Messages are always fit for a terminal.
 */
#include "registry/pl_cert_csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const char *error, size_t error_size)
{
	PL_CHECK(strnlen(error, error_size) < error_size);
	for (; *error != '\0'; error++)
		PL_CHECK(*error >= ' ' && *error <= '~');
}

static void check_cert(const struct pl_cert *c)
{
	static const struct pl_cert_csv_layout all = {7, {0, 1, 2, 3, 4, 5, 6}, 0, false};
	char line[PL_CERT_CSV_OUT_SIZE];
	char error[256];
	struct pl_cert back;
	size_t size = pl_cert_csv_format(c, line);

	PL_CHECK(c->id != 0 && pl_facts_valid(pl_facts_pack(c)));
	PL_CHECK(size < sizeof(line) && line[size - 1] == '\n');
	PL_CHECK(pl_cert_csv_line(&all, line, size - 1, &back, error, sizeof(error)) == 0);
	PL_CHECK(back.id == c->id && pl_facts_pack(&back) == pl_facts_pack(c));
}

static void check_lines(const char *text, size_t size, bool ids_only)
{
	struct pl_cert_csv_layout layout = {.key_epoch = 3, .ids_only = ids_only};
	bool header = true;
	char error[256];
	struct pl_cert c;

	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t line_size = end == NULL ? size : (size_t)(end - text);
		int rc = header ? pl_cert_csv_header(&layout, text, line_size, error, sizeof(error))
				: pl_cert_csv_line(&layout, text, line_size, &c, error,
						   sizeof(error));

		if (rc != 0)
			check_message(error, sizeof(error));
		if (rc != 0 && header)
			return;
		if (rc == 0 && !header && !ids_only)
			check_cert(&c);
		header = false;
		text += line_size + (end != NULL);
		size -= line_size + (end != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t id;

	check_lines((const char *)data, size, false);
	check_lines((const char *)data, size, true);
	if (pl_cert_id_parse((const char *)data, size, &id))
		PL_CHECK(id != 0);
	return 0;
}
