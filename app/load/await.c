/* SPDX-License-Identifier: BSD-3-Clause */

#include "await.h"

#include <errno.h>

int await_load(struct await *a, const char *path, char *error, size_t error_size)
{
	FILE *f = fopen(path, "re");
	char line[64], *end;
	int rc = 0;

	memset(a, 0, sizeof(*a));
	a->ids = calloc(AWAIT_MAX, sizeof(*a->ids));
	a->seen_ns = calloc(AWAIT_MAX, sizeof(*a->seen_ns));
	if (f == NULL || a->ids == NULL || a->seen_ns == NULL) {
		rc = f == NULL ? -errno : -ENOMEM;
		snprintf(error, error_size, "--await %s: %s", path, strerror(-rc));
	}
	while (rc == 0 && fgets(line, sizeof(line), f) != NULL) {
		uint64_t id = strtoull(line, &end, 16);

		line[strcspn(line, "\n")] = '\0';
		if (a->cnt < AWAIT_MAX && id != 0 && *end == '\0') {
			a->ids[a->cnt++] = id;
		} else {
			snprintf(error, error_size,
				 "--await %s: \"%.40s\" is no id, 0x and hex digits, or more than "
				 "%u of them",
				 path, line, AWAIT_MAX);
			rc = -EINVAL;
		}
	}
	if (f != NULL)
		fclose(f);
	return rc;
}

void await_free(struct await *a)
{
	free(a->ids);
	free(a->seen_ns);
	memset(a, 0, sizeof(*a));
}
