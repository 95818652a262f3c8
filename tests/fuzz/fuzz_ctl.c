/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as a request's line: refused with a reason, or within every bound of the header. */
#include "ctl/pl_ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_ctl_request r;
	char error[512] = "";
	int rc = pl_ctl_request_parse((const char *)data, size, &r, error, sizeof(error));

	if (rc != 0) {
		PL_CHECK(rc < 0 && error[0] != '\0');
		PL_CHECK(r.args == NULL && r.command[0] == '\0' && r.payload_size == 0);
		return 0;
	}
	PL_CHECK(size < PL_CTL_LINE_SIZE_MAX);
	PL_CHECK(json_is_object(r.args));
	PL_CHECK(r.payload_size <= PL_CTL_PAYLOAD_SIZE_MAX);
	PL_CHECK(r.command[0] != '\0' && strlen(r.command) <= PL_CTL_COMMAND_SIZE_MAX);
	PL_CHECK(strspn(r.command, "abcdefghijklmnopqrstuvwxyz- ") == strlen(r.command));
	json_decref(r.args);
	return 0;
}
