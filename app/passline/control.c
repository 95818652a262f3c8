/* SPDX-License-Identifier: BSD-3-Clause */
/* The main lcore: signals, clock, state, nonces, links. It sleeps in sigtimedwait(), so a signal
 * is acted on at once and nothing runs in a signal handler. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>

#include "base/pl_time.h"
#include "app.h"
#include "ready.h"
#include "say.h"

/* Letters and signals wake control at once; all else can wait for a tick. On a small machine control
 * shares its core with others, and each tick costs them 20 to 40 us. */
#define TICK_MS       40u
#define LINK_TICKS    5u   /* between looks at the links */
#define ZONE_TICKS    25u  /* between looks at the time zone */
#define LOADING_TICKS 125u /* between signs of life to systemd while loading */

uint64_t pl_wall_ns(void)
{
	return pl_time_ns(CLOCK_REALTIME);
}

/* What the intake says of itself, and whether all that had arrived before the start is in the table:
 * what comes later is news, and until then it is what was missed. */
static void intake_tick(struct pl_app *app)
{
	struct pl_intake_status status;
	/* DIR-IDLE acquire: pairs the release in the intake's thread, so that the status is of after
	 * the last segment that was found. */
	bool idle = atomic_load_explicit(&app->intake.dir_idle, memory_order_acquire);
	bool stopped = pl_intake_thread_flags(&app->intake, &status);
	/* LOAD-GET acquire: pairs LOAD-PUB. The loader's own: ours is in the joined flags, too. */
	uint32_t flags = atomic_load_explicit(&app->live.feed_flags, memory_order_acquire);

	if (strcmp(status.text, app->intake_told) != 0) {
		memcpy(app->intake_told, status.text, sizeof(app->intake_told));
		pl_say("intake %s%s", status.text[0] != '\0' ? "stopped: " : "goes on",
		       status.text);
		pl_journal_write(&app->journal, "appliance", "intake",
				 status.text[0] != '\0' ? "failed" : "done", "%s",
				 status.text[0] != '\0' ? status.text : "it goes on");
	}
	if (!app->loaded && !(flags & PL_FLAG_LOADING))
		app->loaded =
			idle && (stopped || (flags & (PL_FLAG_INTAKE | PL_FLAG_TABLE_FULL)) != 0 ||
				 status.applied >= status.pos.sequence);
}

static void flags_publish(struct pl_app *app)
{
	uint32_t flags = 0;

	if (app->control.draining)
		flags |= PL_FLAG_DRAINING;
	if (!app->loaded)
		flags |= PL_FLAG_LOADING;
	/* FLAGS-PUB release: pairs FLAGS-GET. */
	atomic_store_explicit(&app->live.flags, flags, memory_order_release);
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

	if (ret != 0)
		return ret;
	gateway_ids_publish(app);
	/* relaxed: shown to humans. */
	atomic_store_explicit(&app->view_generation, app->views.generation, memory_order_relaxed);
	return 0;
}

static void clock_tick(struct pl_app *app)
{
	enum pl_clock_trust trust = pl_clock_sample(app->clock);

	if (trust == app->control.trust)
		return;
	app->control.trust = trust;
	/* relaxed: for humans; workers have it from the clock itself. */
	atomic_store_explicit(&app->clock_trust, trust, memory_order_relaxed);
	pl_say("clock is %s%s", pl_clock_trust_text(trust),
	       trust == PL_CLOCK_TRUSTED ? "" : ": verdicts that rest on time are UNKNOWN");
}

/* Long before a worker runs out, so that a slow disk has most of a minute. */
static void nonce_tick(struct pl_app *app)
{
	char *told = app->control.nonce_told, text[sizeof(app->control.nonce_told)];

	pl_nonce_thread_ask(&app->nonces, pl_app_nonce_next(app));
	pl_nonce_thread_text(&app->nonces, text, sizeof(text));
	if (strcmp(text, told) == 0)
		return;
	memcpy(told, text, sizeof(text));
	pl_say("%s", text[0] != '\0' ? text : "reply counters can be reserved again");
	pl_journal_write(&app->journal, "appliance", "nonces", text[0] != '\0' ? "failed" : "done",
			 "%s", text[0] != '\0' ? text : "they can be reserved again");
}

/* A link that comes up has neighbours who do not know us, or know another in our place. */
static void link_tick(struct pl_app *app)
{
	bool announce = false;

	if (app->control.tick % LINK_TICKS != 0)
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

static void view_tick(struct pl_app *app)
{
	char error[512];

	pl_view_reclaim(&app->views);
	/* Clocks go forward or back in the site's time zone, or the machine's own clock was set, over
	 * a change or back behind one: a new offset. */
	if (app->control.tick % ZONE_TICKS == 0 &&
	    !pl_clock_zone_holds(&pl_view_get(&app->views)->zone,
				 (int64_t)(pl_wall_ns() / 1000000000u)) &&
	    pl_control_publish(app, &app->config, error, sizeof(error)) != 0)
		pl_say("%s", error);
}

/* Texts that cannot change (paths, ports) are read without the lock by those who were given them at the
 * start. pl_site_reload() leaves them alone; behind the site there are none. */
static void config_swap(struct pl_app *app, struct pl_config *next)
{
	const size_t from = sizeof(next->site), size = sizeof(*next) - from;
	struct pl_config *now = &app->config;
	static struct pl_config old; /* only its keys */

	static_assert(offsetof(struct pl_config, site) == 0, "all else is behind it");
	old.authority = now->authority;
	old.tokens = now->tokens;
	old.gateways = now->gateways;
	pl_app_config_lock(app);
	pl_site_reload(&now->site, &next->site);
	memcpy((uint8_t *)now + from, (const uint8_t *)next + from, size);
	pl_app_config_unlock(app);
	pl_config_free(&old);
	memset(next, 0, sizeof(*next));
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Each key's number and epoch as one, sorted. NULL if memory is short. */
static uint64_t *key_numbers(const struct pl_keys *keys)
{
	uint64_t *n = calloc(keys->cnt + 1u, sizeof(*n));

	for (uint32_t i = 0; n != NULL && i < keys->cnt; i++)
		n[i] = (uint64_t)keys->key[i].gateway_id << 8 | keys->key[i].epoch;
	if (n != NULL)
		qsort(n, keys->cnt, sizeof(*n), compare_u64);
	return n;
}

/* How many keys came and how many went. */
static void keys_compare(const struct pl_keys *now, const struct pl_keys *next, uint32_t *added,
			 uint32_t *gone)
{
	uint64_t *a = key_numbers(now), *b = key_numbers(next);
	uint32_t i = 0, k = 0;

	*added = 0;
	*gone = 0;
	while (a != NULL && b != NULL && (i < now->cnt || k < next->cnt)) {
		if (k == next->cnt || (i < now->cnt && a[i] < b[k])) {
			++*gone;
			i++;
		} else if (i == now->cnt || b[k] < a[i]) {
			++*added;
			k++;
		} else {
			i++;
			k++;
		}
	}
	free(a);
	free(b);
}

/* Numbers and epochs, never a byte of one. */
static void note_keys(struct pl_app *app, const struct pl_config *next, const char *who)
{
	const struct {
		const char *kind;
		const struct pl_keys *now;
		const struct pl_keys *next;
	} sets[] = {
		{"token", app->config.tokens, next->tokens},
		{"gateway", app->config.gateways, next->gateways},
	};

	for (size_t i = 0; i < PL_ARRAY_CNT(sets); i++) {
		uint32_t added, gone;

		keys_compare(sets[i].now, sets[i].next, &added, &gone);
		if (added + gone != 0)
			pl_journal_write(&app->journal, who, "keys", "changed",
					 "%s keys: %u added, %u removed, %u now", sets[i].kind,
					 added, gone, sets[i].next->cnt);
	}
}

/* Of what was read and published: the rest that lives outside of the view. */
static void config_apply(struct pl_app *app, struct pl_config *next, const char *who)
{
	const struct pl_site *s = &next->site;
	bool rules_changed =
		memcmp(next->policy_hash, app->config.policy_hash, PL_POLICY_HASH_SIZE) != 0;

	note_keys(app, next, who);
	if (s->platform_cnt != app->config.site.platform_cnt ||
	    memcmp(s->platforms, app->config.site.platforms, sizeof(s->platforms)) != 0 ||
	    memcmp(s->spans, app->config.site.spans, sizeof(s->spans)) != 0)
		pl_journal_write(&app->journal, who, "platforms", "changed",
				 "%u platforms, %u numbers and ranges of gateways now",
				 s->platform_cnt, s->span_cnt);
	config_swap(app, next);
	s = &app->config.site;
	/* Refused for a step-max of 0 only, which the site's range excludes. */
	(void)!pl_clock_limits_set(app->clock, s->step_ms_max, s->need_synchronised, s->settle_s);
	pl_loader_grow_to(&app->loader, s->table_capacity);
	if (!rules_changed)
		return;
	/* relaxed: shown to humans. */
	atomic_fetch_add_explicit(&app->policy_generation, 1, memory_order_relaxed);
	pl_journal_write(&app->journal, who, "policy", "changed",
			 "rules of %s, hash %02x%02x%02x%02x",
			 s->policy_path[0] != '\0' ? s->policy_path : "the program itself",
			 app->config.policy_hash[0], app->config.policy_hash[1],
			 app->config.policy_hash[2], app->config.policy_hash[3]);
}

/* What the table has room for, or will: it grows under its readers, and never becomes smaller. */
static uint64_t table_capacity(const struct pl_app *app)
{
	/* relaxed: from before the loader begins until it is done. */
	uint64_t growing_to =
		atomic_load_explicit(&app->loader.status.growing_to, memory_order_relaxed);
	struct pl_table_stats stats;

	pl_table_stats_get(app->table, &stats);
	return growing_to > stats.capacity ? growing_to : stats.capacity;
}

int pl_control_reload(struct pl_app *app, const char *who, char *error, size_t error_size)
{
	static struct pl_config next;
	int ret;

	if (app->control.stopping) {
		snprintf(error, error_size, "the appliance is about to stop");
		ret = -EBUSY;
	} else {
		ret = pl_config_reload(&app->config, &next, &app->args, table_capacity(app), error,
				       error_size);
	}
	if (ret == 0) {
		ret = pl_control_publish(app, &next, error, error_size);
		if (ret != 0)
			pl_config_free(&next);
	}
	if (ret != 0) {
		pl_say("configuration, keys and policy stay as they were:\n%s", error);
		pl_journal_write(&app->journal, who, "reload", "refused", "%s", error);
		return ret;
	}
	config_apply(app, &next, who);
	snprintf(error, error_size,
		 "configuration, keys and policy were read again: %u gateway key(s), %u token "
		 "key(s)",
		 app->config.gateways->cnt, app->config.tokens->cnt);
	pl_say("%s", error);
	pl_journal_write(&app->journal, who, "reload", "done", "%u gateway key(s), %u token key(s)",
			 app->config.gateways->cnt, app->config.tokens->cnt);
	return 0;
}

static void reload_by_signal(struct pl_app *app)
{
	static char error[PL_CONFIG_ERROR_SIZE];

	(void)!pl_control_reload(app, "signal HUP", error, sizeof(error));
}

void pl_control_drain(struct pl_app *app, const char *who, bool stop)
{
	struct pl_control *c = &app->control;

	if (!c->draining || (stop && !c->stopping)) {
		pl_journal_write(&app->journal, who, "drain", "done", "%s",
				 stop ? "draining, then stopping" : "draining until undrain");
		pl_ready_draining(stop);
	}
	c->draining = true;
	if (stop && !c->stopping) {
		c->stopping = true;
		c->drain_end_ms = pl_time_monotonic_ms() + app->config.site.drain_ms;
	}
	flags_publish(app);
}

int pl_control_undrain(struct pl_app *app, const char *who, char *error, size_t error_size)
{
	struct pl_control *c = &app->control;

	if (c->stopping) {
		snprintf(error, error_size,
			 "it is about to stop, which is not taken back: start it again");
		return -EBUSY;
	}
	if (!c->draining) {
		snprintf(error, error_size, "it is not draining");
		return -EALREADY;
	}
	c->draining = false;
	flags_publish(app);
	pl_say("draining no more");
	pl_journal_write(&app->journal, who, "drain", "done", "taken back");
	return 0;
}

/* "feed_old, clock", for the journal. */
static const char *flags_text(uint32_t flags, char *text, size_t text_size)
{
	size_t used = 0;

	snprintf(text, text_size, "none");
#define F(id, bit, name, what)                                                  \
	if ((flags & PL_FLAG_##id) && used < text_size)                         \
		used += (size_t)snprintf(text + used, text_size - used, "%s%s", \
					 used > 0 ? ", " : "", name);
	PL_STATE_FLAGS(F)
#undef F
	return text;
}

static void note_growth(struct pl_app *app)
{
	struct pl_control *c = &app->control;
	/* relaxed, both: shown to humans. */
	uint64_t grown_cnt =
		atomic_load_explicit(&app->loader.status.grown_cnt, memory_order_relaxed);
	uint64_t not_grown_cnt =
		atomic_load_explicit(&app->loader.status.not_grown_cnt, memory_order_relaxed);
	struct pl_table_stats stats;

	if (grown_cnt != c->grown_cnt) {
		pl_table_stats_get(app->table, &stats);
		pl_journal_write(&app->journal, "appliance", "table", "changed",
				 "it has room for %" PRIu64 " certificates now", stats.capacity);
	}
	c->grown_cnt = grown_cnt;
	if (not_grown_cnt != c->not_grown_cnt)
		pl_journal_write(
			&app->journal, "appliance", "table", "refused",
			"it cannot be made larger, or not be filled: the log has the reason");
	c->not_grown_cnt = not_grown_cnt;
}

/* What the journal tells of by itself: a new state, a segment that is refused. */
static void note_tick(struct pl_app *app, uint32_t flags)
{
	struct pl_control *c = &app->control;
	/* relaxed: shown to humans. */
	uint32_t refused = atomic_load_explicit(&app->loader.status.refused, memory_order_relaxed);
	uint64_t snapshot =
		atomic_load_explicit(&app->loader.status.snapshot, memory_order_relaxed);
	uint64_t rebuilt_cnt =
		atomic_load_explicit(&app->loader.status.rebuilt_cnt, memory_order_relaxed);
	char text[160];

	if (flags != c->flags || c->tick == 0)
		pl_journal_write(&app->journal, "appliance", "state", "changed", "%s; reasons: %s",
				 pl_state_name(pl_state_of_flags(flags)),
				 flags_text(flags, text, sizeof(text)));
	c->flags = flags;
	if (refused != c->feed_refused)
		pl_journal_write(&app->journal, "appliance", "feed",
				 refused == PL_FEED_OK ? "done" : "refused", "%s",
				 refused == PL_FEED_OK
					 ? "the feed goes on"
					 : pl_feed_error_text((enum pl_feed_error)refused));
	c->feed_refused = refused;
	if (snapshot != c->snapshot)
		pl_journal_write(&app->journal, "appliance", "feed", "done",
				 "the snapshot of segment %" PRIu64 " was taken", snapshot);
	c->snapshot = snapshot;
	if (rebuilt_cnt != c->rebuilt_cnt)
		pl_journal_write(&app->journal, "appliance", "table", "changed",
				 "it was found damaged, emptied and loaded again");
	c->rebuilt_cnt = rebuilt_cnt;
	note_growth(app);
}

static void state_tick(struct pl_app *app)
{
	uint32_t as_of, flags;

	intake_tick(app);
	flags_publish(app);
	flags = pl_app_flags(app, pl_wall_ns() / 1000000000u, &as_of);
	note_tick(app, flags);
	if (app->control.serving)
		return;
	if (!(flags & PL_FLAG_LOADING)) {
		app->control.serving = true;
		pl_ready_serving(app);
	} else if (app->control.tick % LOADING_TICKS == LOADING_TICKS - 1) {
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
	sigaddset(&set, SIGUSR1); /* a letter has come */
	sig = sigtimedwait(&set, NULL, &tick);
	return sig > 0 ? sig : 0;
}

int pl_control_run(struct pl_app *app)
{
	struct pl_control *c = &app->control;

	for (;; c->tick++) {
		int sig = signal_wait();

		if (sig == SIGHUP)
			reload_by_signal(app);
		if (sig == SIGTERM || sig == SIGINT) {
			if (c->stopping)
				return 0;
			pl_control_drain(app, sig == SIGTERM ? "signal TERM" : "signal INT", true);
		}
		pl_mailbox_empty(&app->desk.mail, app);
		clock_tick(app);
		state_tick(app);
		nonce_tick(app);
		link_tick(app);
		view_tick(app);
		if (c->stopping && pl_time_monotonic_ms() >= c->drain_end_ms)
			return 0;
	}
}
