/* SPDX-License-Identifier: BSD-3-Clause */
/* The main lcore: signals, clock, state, nonces, links. It sleeps in sigtimedwait(), so a signal
 * is acted on at once and nothing runs in a signal handler. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>

#include "app.h"
#include "ready.h"

#define TICK_MS        10u
#define LINK_TICKS     20u  /* between looks at the links */
#define LOADING_TICKS  500u /* between signs of life to systemd while loading */
#define NONCE_RETRY_MS 10000u

struct control {
	struct pl_app *app;
	uint64_t tick;
	uint64_t nonce_retry_tick; /* not to hammer a disk that fails */
	enum pl_clock_trust trust;
	bool serving; /* said to be ready */
	bool draining;
	uint64_t drain_end_tick;
};

uint64_t pl_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* What the intake adds to the loader's flags. */
static uint32_t intake_flags(struct pl_app *app, uint32_t flags)
{
	struct pl_intake_status status;
	/* DIR-IDLE acquire: pairs the release in the intake's thread, so that the status is of after
	 * the last segment that was found. */
	bool idle = atomic_load_explicit(&app->intake.dir_idle, memory_order_acquire);
	uint32_t more = pl_intake_thread_flags(&app->intake, &status);

	if (strcmp(status.text, app->intake_told) != 0) {
		memcpy(app->intake_told, status.text, sizeof(app->intake_told));
		pl_say("intake %s%s", status.text[0] != '\0' ? "stopped: " : "goes on",
		       status.text);
	}
	/* Once all that had arrived before the start is in the table, what comes later is news; until
	 * then it is what was missed. */
	if (!app->loaded && !(flags & PL_FLAG_LOADING))
		app->loaded = idle && ((flags | more) & (PL_FLAG_INTAKE | PL_FLAG_TABLE_FULL) ||
				       status.applied >= status.pos.sequence);
	return app->loaded ? more : more | PL_FLAG_LOADING;
}

uint32_t pl_control_flags(struct pl_app *app, bool draining)
{
	/* LOAD-GET acquire: pairs LOAD-PUB; passed on by FLAGS-PUB below. */
	uint32_t flags = atomic_load_explicit(&app->loader.status.flags, memory_order_acquire);

	/* Segments are there that the table does not have: who is absent may be in them, however
	 * young as_of is. */
	flags |= intake_flags(app, flags);
	if (flags & (PL_FLAG_INTAKE | PL_FLAG_TABLE_FULL))
		flags |= PL_FLAG_FEED_OLD;
	if (draining)
		flags |= PL_FLAG_DRAINING;
	/* FLAGS-PUB release: pairs FLAGS-GET. */
	atomic_store_explicit(&app->live.flags, flags, memory_order_release);
	return flags;
}

/* The ids by idx, copied out for telemetry: its thread must not follow a view. */
static void gateway_ids_publish(struct pl_app *app)
{
	const struct pl_gateway_set *set = pl_view_get(&app->views)->gateways;
	uint32_t cnt = pl_gateway_cnt(set);

	for (uint32_t i = 0; i < cnt; i++)
		/* relaxed: below. */
		atomic_store_explicit(&app->gateway_ids[i], pl_gateway_id(set, i),
				      memory_order_relaxed);
	/* GWID-PUB release: ids up to cnt are there. Pairs: GWID-GET in telemetry. */
	atomic_store_explicit(&app->gateway_cnt, cnt, memory_order_release);
}

int pl_control_publish(struct pl_app *app, const struct pl_config *c, char *error,
		       size_t error_size)
{
	int ret = pl_view_publish(&app->views, c, pl_verify_seal(app->workers[0]->verify),
				  pl_wall_ns(), error, error_size);

	if (ret == 0)
		gateway_ids_publish(app);
	return ret;
}

static void clock_tick(struct control *ctl)
{
	enum pl_clock_trust trust = pl_clock_sample(ctl->app->clock);

	if (trust == ctl->trust)
		return;
	ctl->trust = trust;
	/* relaxed: for humans; workers have it from the clock itself. */
	atomic_store_explicit(&ctl->app->clock_trust, trust, memory_order_relaxed);
	pl_say("clock is %s%s", pl_clock_trust_text(trust),
	       trust == PL_CLOCK_TRUSTED ? "" : ": verdicts that rest on time are UNKNOWN");
}

/* Long before a worker runs out, so that a slow disk has most of a minute. */
static void nonce_tick(struct control *ctl)
{
	struct pl_app *app = ctl->app;
	uint64_t used_to = 0;
	char error[512];

	for (uint32_t i = 0; i < app->worker_cnt; i++) {
		/* relaxed: see the store in pl_worker_chores(). */
		uint64_t next = atomic_load_explicit(&app->workers[i]->pub_nonce_next,
						     memory_order_relaxed);

		used_to = next > used_to ? next : used_to;
	}
	if (used_to + PL_NONCE_RESERVE / 2 < app->nonces.limit || ctl->tick < ctl->nonce_retry_tick)
		return;
	if (pl_nonce_store_extend(&app->nonces, used_to, error, sizeof(error)) != 0) {
		pl_say("%s", error);
		ctl->nonce_retry_tick = ctl->tick + NONCE_RETRY_MS / TICK_MS;
		return;
	}
	/* relaxed: the number is all that matters, and it is on disk. */
	atomic_store_explicit(&app->live.nonce_limit, app->nonces.limit, memory_order_relaxed);
}

/* A link that comes up has neighbours who do not know us, or know another in our place. */
static void link_tick(struct control *ctl)
{
	struct pl_app *app = ctl->app;
	bool announce = false;

	if (ctl->tick % LINK_TICKS != 0)
		return;
	for (uint32_t i = 0; i < app->port_cnt; i++) {
		struct pl_app_port *ap = &app->ports[i];
		/* relaxed, both: this thread writes it, others show it. */
		bool was = atomic_load_explicit(&ap->link_up, memory_order_relaxed);
		struct pl_port_status status;

		pl_port_status(&ap->port, &status);
		if (status.link_up == was)
			continue;
		atomic_store_explicit(&ap->link_up, status.link_up, memory_order_relaxed);
		pl_say("port %s: link is %s", ap->conf->name, status.link_up ? "up" : "down");
		announce |= status.link_up;
	}
	if (announce)
		/* relaxed: a hint; workers look at nothing else because of it. */
		atomic_fetch_add_explicit(&app->live.announce_generation, 1, memory_order_relaxed);
}

static void view_tick(struct control *ctl)
{
	struct pl_app *app = ctl->app;
	char error[512];

	pl_view_reclaim(&app->views);
	/* Clocks go forward or back in the site's time zone, or the machine's own clock was set, over
	 * a change or back behind one: a new offset. */
	if (ctl->tick % 100 == 0 &&
	    !pl_clock_zone_holds(&pl_view_get(&app->views)->zone,
				 (int64_t)(pl_wall_ns() / 1000000000u)) &&
	    pl_control_publish(app, &app->config, error, sizeof(error)) != 0)
		pl_say("%s", error);
}

/* All of it, or nothing: what was read takes the old one's place once workers have it. */
static void reload(struct control *ctl)
{
	struct pl_app *app = ctl->app;
	static char error[PL_CONFIG_ERROR_SIZE];
	static struct pl_config fresh; /* large */
	int ret = pl_config_read_again(&app->config, &fresh, error, sizeof(error));

	if (ret == 0) {
		ret = pl_control_publish(app, &fresh, error, sizeof(error));
		if (ret == 0)
			pl_config_take(&app->config, &fresh);
		else
			pl_config_free(&fresh);
	}
	if (ret != 0)
		pl_say("keys and policy stay as they were:\n%s", error);
	else
		pl_say("keys and policy were read again: %u gateway key(s), %u token key(s)",
		       app->config.gateways->cnt, app->config.tokens->cnt);
}

static void state_tick(struct control *ctl)
{
	struct pl_app *app = ctl->app;
	uint32_t flags = pl_control_flags(app, ctl->draining);

	if (ctl->serving)
		return;
	if (!(flags & PL_FLAG_LOADING)) {
		ctl->serving = true;
		pl_ready_serving(app);
	} else if (ctl->tick % LOADING_TICKS == LOADING_TICKS - 1) {
		pl_ready_loading(
			atomic_load_explicit(&app->loader.status.record_cnt, memory_order_relaxed));
	}
}

/* One tick's sleep. @return the signal that ended it, or 0. */
static int signal_wait(void)
{
	const struct timespec tick = {.tv_nsec = TICK_MS * 1000000};
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sig = sigtimedwait(&set, NULL, &tick);
	return sig > 0 ? sig : 0;
}

int pl_control_run(struct pl_app *app)
{
	struct control ctl = {.app = app, .trust = PL_CLOCK_TRUSTED};

	for (;; ctl.tick++) {
		int sig = signal_wait();

		if (sig == SIGHUP && !ctl.draining)
			reload(&ctl);
		if (sig == SIGTERM || sig == SIGINT) {
			if (ctl.draining)
				return 0;
			ctl.draining = true;
			ctl.drain_end_tick = ctl.tick + app->config.site.drain_ms / TICK_MS;
			pl_ready_draining();
		}
		clock_tick(&ctl);
		state_tick(&ctl);
		nonce_tick(&ctl);
		link_tick(&ctl);
		view_tick(&ctl);
		if (ctl.draining && ctl.tick >= ctl.drain_end_tick)
			return 0;
	}
}
