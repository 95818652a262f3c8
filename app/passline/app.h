/* SPDX-License-Identifier: BSD-3-Clause */
/* The appliance as one: what main() builds, control runs and telemetry shows. */
#ifndef PL_APP_H
#define PL_APP_H

#include "args.h"
#include "config.h"
#include "desk.h"
#include "intake.h"
#include "journal.h"
#include "loader.h"
#include "nonce_thread.h"
#include "port/pl_port.h"
#include "worker.h"

struct pl_app_port {
	struct pl_port port;
	struct pl_net_if nif; /* the site's, with the device's MAC and link-local address */
	const struct pl_site_port *conf;
	bool opened;
	_Atomic bool link_up PL_SHARED(ctrl, telemetry);
};

/* What control remembers from tick to tick. */
struct pl_control {
	uint64_t tick;
	enum pl_clock_trust trust;
	uint32_t flags;        /* as last noted in the journal */
	uint32_t feed_refused; /* as last noted in the journal */
	uint64_t snapshot;     /* last one told of */
	uint64_t rebuilt_cnt;  /* the same */
	uint64_t grown_cnt;
	uint64_t not_grown_cnt;
	bool serving; /* said to be ready */
	bool draining;
	bool stopping;
	uint64_t drain_end_ms;               /* monotonic */
	char nonce_told[PL_NONCE_TEXT_SIZE]; /* what is wrong with them; "": nothing */
};

struct pl_app {
	struct pl_args args;
	/* Control changes it, holding config_lock; others hold that while they read. */
	struct pl_config config PL_OWNED_BY(ctrl);
	pthread_mutex_t config_lock;
	struct pl_control control PL_OWNED_BY(ctrl);
	struct pl_desk desk;
	struct pl_journal journal;
	struct pl_clock *clock;
	struct pl_table *table;
	uint64_t table_known_to; /* of one that was made anew; see pl_loader_start() */
	struct pl_live live;
	struct pl_view_box views;
	struct pl_intake_thread intake;
	struct pl_loader loader;
	struct pl_nonce_thread nonces;
	bool loaded PL_OWNED_BY(ctrl); /* everything that was there when it started */
	char intake_told[PL_INTAKE_TEXT_SIZE] PL_OWNED_BY(ctrl);
	uint32_t port_cnt PL_FROZEN_AFTER(start);
	struct pl_app_port ports[PL_SITE_PORTS_MAX];
	uint32_t worker_cnt PL_FROZEN_AFTER(start);
	struct pl_worker *workers[PL_SITE_QUEUES_MAX] PL_FROZEN_AFTER(start);
	uint64_t start_wall_s PL_FROZEN_AFTER(start);
	bool no_huge PL_FROZEN_AFTER(start);
	/* Ids of gateways by idx, as of the newest view, for telemetry: which must not follow a
	 * view that control may free. */
	_Atomic uint32_t gateway_cnt PL_SHARED(ctrl, telemetry);
	_Atomic uint32_t gateway_ids[PL_GATEWAY_MAX] PL_SHARED(ctrl, telemetry);
	_Atomic uint32_t clock_trust PL_SHARED(ctrl, telemetry);  /* enum pl_clock_trust */
	_Atomic uint32_t policy_generation PL_SHARED(ctrl, desk); /* how many, from 1 */
	_Atomic uint64_t view_generation PL_SHARED(ctrl, desk);
};

/* ports.c */
PL_MUST_USE int pl_ports_open(struct pl_app *app, char *error, size_t error_size);
PL_MUST_USE int pl_ports_start(struct pl_app *app, char *error, size_t error_size);
void pl_ports_close(struct pl_app *app);
/** "10.0.0.1/24, fd00::1 vlan 7 udp 4717" */
void pl_ports_address_text(const struct pl_net_if *nif, char *text, size_t text_size);

/* desk_waiver.c */
/** The waiver of the last run, if there is one, into app->config; told. Before the first view. */
void pl_waiver_load(struct pl_app *app);

/* table_open.c */
/** Attach to the table of the last run if it holds this feed, else make an empty one. */
PL_MUST_USE int pl_table_open(struct pl_app *app, char *error, size_t error_size);

/* workers.c */
PL_MUST_USE int pl_workers_create(struct pl_app *app, uint64_t nonce_first, char *error,
				  size_t error_size);
PL_MUST_USE int pl_workers_launch(struct pl_app *app, char *error, size_t error_size);
/** Stops and waits. */
void pl_workers_stop(struct pl_app *app);
void pl_workers_destroy(struct pl_app *app);

/* control.c */
/** Runs until a signal ends it, with all that was built. @return exit code. */
int pl_control_run(struct pl_app *app);
/** Publish a view of a configuration, app->config or what is to replace it. Thread: control's. */
PL_MUST_USE int pl_control_publish(struct pl_app *app, const struct pl_config *c, char *error,
				   size_t error_size);
/**
 * Read configuration, keys and rules again; all of it takes effect at once, or nothing and the
 * reasons are told, and into the journal either way.
 *
 * @param error  PL_CONFIG_ERROR_SIZE holds all; on success what was read, in words.
 */
PL_MUST_USE int pl_control_reload(struct pl_app *app, const char *who, char *error,
				  size_t error_size);
/** Say "draining" in replies; to stop, the time `drain` later. */
void pl_control_drain(struct pl_app *app, const char *who, bool stop);
/** @return -EBUSY when it is about to stop. */
PL_MUST_USE int pl_control_undrain(struct pl_app *app, const char *who, char *error,
				   size_t error_size);
uint64_t pl_wall_ns(void);

static inline void pl_app_config_lock(struct pl_app *app)
{
	pthread_mutex_lock(&app->config_lock);
}

static inline void pl_app_config_unlock(struct pl_app *app)
{
	pthread_mutex_unlock(&app->config_lock);
}

/* figures.c: for those who show them. Any thread. */
/** Of all workers together. */
void pl_app_counters(const struct pl_app *app, struct pl_counters *total);
/** One gateway's; idx below gateway_cnt. @return how many workers limit it just now. */
uint32_t pl_app_gateway_counters(const struct pl_app *app, uint32_t idx,
				 struct pl_gateway_counters *total);
/** The first reply counter that no worker has used. */
uint64_t pl_app_nonce_next(const struct pl_app *app);
/** As a worker finds them for each burst. as_of: unix s, 0 while loading. */
uint32_t pl_app_flags(struct pl_app *app, uint64_t now_s, uint32_t *as_of);

/* telemetry.c */
PL_MUST_USE int pl_telemetry_start(struct pl_app *app);
/** Commands stay registered (the EAL has no way back) but answer no more. */
void pl_telemetry_stop(void);

/* heap.c */
void pl_heap_telemetry_start(void);

#endif
