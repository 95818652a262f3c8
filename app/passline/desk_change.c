/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that change something: on control's thread, and into the journal. */
#include <errno.h>

#include "app.h"
#include "desk.h"

struct change {
	char who[PL_DESK_WHO_SIZE];
	bool stop;
};

/* Done by control, and in the journal, when it returns. */
static int change(struct pl_app *app, struct pl_ctl_call *call, pl_mailbox_fn fn, struct change *c)
{
	int rc;

	pl_desk_who(call, c->who);
	rc = pl_desk_on_control(app, fn, c, call);
	(void)pl_journal_sync(&app->journal);
	return rc;
}

static int reload_fn(void *ctx, void *arg, char *error, size_t error_size)
{
	const struct change *c = arg;

	return pl_control_reload(ctx, c->who, error, error_size);
}

int pl_desk_reload(void *ctx, struct pl_ctl_call *call)
{
	struct change c = {0};
	int rc = pl_ctl_args_known(call, NULL, 0);

	if (rc == 0)
		rc = change(ctx, call, reload_fn, &c);
	if (rc == 0)
		call->result = json_pack("{s:s}", "text", call->error);
	return rc;
}

static int drain_fn(void *ctx, void *arg, char *error, size_t error_size)
{
	const struct change *c = arg;

	(void)error;
	(void)error_size;
	pl_control_drain(ctx, c->who, c->stop);
	return 0;
}

int pl_desk_drain(void *ctx, struct pl_ctl_call *call)
{
	static const char *const names[] = {"stop"};
	struct change c = {.stop = json_is_true(json_object_get(call->args, "stop"))};
	int rc = pl_ctl_args_known(call, names, PL_ARRAY_CNT(names));

	if (rc == 0)
		rc = change(ctx, call, drain_fn, &c);
	if (rc == 0)
		call->result = json_pack("{s:b, s:b}", "draining", 1, "stopping", c.stop);
	return rc;
}

static int undrain_fn(void *ctx, void *arg, char *error, size_t error_size)
{
	const struct change *c = arg;

	return pl_control_undrain(ctx, c->who, error, error_size);
}

int pl_desk_undrain(void *ctx, struct pl_ctl_call *call)
{
	struct change c = {0};
	int rc = pl_ctl_args_known(call, NULL, 0);

	if (rc == 0)
		rc = change(ctx, call, undrain_fn, &c);
	if (rc == 0)
		call->result = json_pack("{s:b}", "draining", 0);
	return rc;
}
