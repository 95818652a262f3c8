/* SPDX-License-Identifier: BSD-3-Clause */
/* From the command line to a running appliance, and back in reverse order. */
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_version.h>
#include <sodium.h>

#include "app.h"
#include "ready.h"
#include "say.h"

/* Signals are for control alone: blocked before any thread is made, so that all inherit it. */
static void signals_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Keys must not end up in a core dump. After the EAL is up: it reads /proc/self as it starts,
 * which a process that is not dumpable may do as root only. */
static void dumps_off(void)
{
	const struct rlimit none = {0};

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
}

static uint64_t free_huge_pages(void)
{
	uint64_t cnt = 0;
	glob_t g;

	if (glob("/sys/kernel/mm/hugepages/hugepages-*/free_hugepages", 0, NULL, &g) != 0)
		return 0;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		FILE *f = fopen(g.gl_pathv[i], "re");
		unsigned long n = 0;

		if (f == NULL)
			continue;
		if (fscanf(f, "%lu", &n) == 1)
			cnt += n;
		fclose(f);
	}
	globfree(&g);
	return cnt;
}

static int eal_start(struct pl_app *app, char *error, size_t error_size)
{
	app->no_huge = pl_args_eal_has(&app->args, "--no-huge");
	if (!app->no_huge && free_huge_pages() == 0) {
		snprintf(error, error_size,
			 "no free hugepages. Reserve some (echo 512 >/proc/sys/vm/nr_hugepages, "
			 "mount -t hugetlbfs none /dev/hugepages), or run without them, slower: "
			 "EAL options --no-huge -m 512");
		return -ENOMEM;
	}
	if (pl_say_for_eal() != 0) {
		snprintf(error, error_size, "no memory for the EAL's log");
		return -ENOMEM;
	}
	if (rte_eal_init(app->args.eal_argc, app->args.eal_argv) < 0) {
		snprintf(
			error, error_size,
			"the EAL does not start: %s. What it says above is its reason; the options "
			"before \"--\" are its own",
			rte_strerror(rte_errno));
		return -rte_errno;
	}
	if (app->no_huge)
		pl_say("no hugepages: packet buffers are in ordinary pages, which is slower");
	return 0;
}

static int clock_start(struct pl_app *app)
{
	const struct pl_clock_conf conf = {
		.step_ms_max = app->config.site.step_ms_max,
		.need_synchronised = app->config.site.need_synchronised,
		.settle_s = app->config.site.settle_s,
		.source = pl_clock_system,
	};
	int ret = pl_clock_create(&conf, &app->clock);

	if (ret == 0)
		(void)pl_clock_sample(app->clock);
	return ret;
}

/* All that must stand before a worker may answer. */
static int build(struct pl_app *app, char *error, size_t error_size)
{
	uint64_t nonce_first = 0;
	int ret;

	app->start_wall_s = pl_wall_ns() / 1000000000u;
	ret = pl_nonce_thread_open(&app->nonces, app->config.site.state_dir, pl_wall_ns(),
				   &app->live.nonce_limit, &nonce_first, error, error_size);
	if (ret != 0)
		return ret;
	ret = pl_journal_open(&app->journal, app->config.site.state_dir, pl_say, error, error_size);
	if (ret != 0)
		return ret;
	pl_journal_write(&app->journal, "appliance", "start", "done", "version " PL_VERSION);
	pl_waiver_load(app);
	atomic_init(&app->policy_generation, 1);
	/* Control's until all that was there is loaded, and the loader's from its start on. */
	atomic_init(&app->live.flags, PL_FLAG_LOADING);
	atomic_init(&app->live.feed_flags, PL_FLAG_LOADING);
	atomic_init(&app->live.intake_flags, 0);
	ret = pl_intake_thread_open(&app->intake, &app->config, &app->live, error, error_size);
	if (ret != 0)
		return ret;
	ret = clock_start(app);
	if (ret != 0) {
		snprintf(error, error_size, "the clock cannot be read: %s", strerror(-ret));
		return ret;
	}
	ret = pl_table_open(app, error, error_size);
	if (ret == 0)
		ret = pl_ports_open(app, error, error_size);
	if (ret != 0)
		return ret;
	ret = pl_view_box_create(&app->views, app->config.site.queue_cnt);
	if (ret != 0) {
		snprintf(error, error_size, "no memory for views");
		return ret;
	}
	ret = pl_workers_create(app, nonce_first, error, error_size);
	if (ret == 0)
		ret = pl_control_publish(app, &app->config, error, error_size);
	if (ret == 0)
		ret = pl_ports_start(app, error, error_size);
	return ret;
}

static void unbuild(struct pl_app *app)
{
	pl_telemetry_stop();
	pl_desk_stop(app);
	pl_nonce_thread_stop(&app->nonces);
	pl_intake_thread_stop(&app->intake);
	pl_loader_stop(&app->loader);
	pl_intake_thread_close(&app->intake);
	pl_ports_close(app);
	pl_workers_destroy(app);
	if (app->views.qsbr != NULL)
		pl_view_box_destroy(&app->views);
	if (app->table != NULL)
		pl_table_close(app->table);
	if (app->clock != NULL)
		pl_clock_destroy(app->clock);
	pl_nonce_thread_close(&app->nonces);
	pl_config_free(&app->config);
	pl_journal_write(&app->journal, "appliance", "stop", "done", "all is closed");
	pl_journal_close(&app->journal);
}

static int serve(struct pl_app *app, char *error, size_t error_size)
{
	int code = 1;

	if (build(app, error, error_size) != 0)
		goto out;
	if (pl_workers_launch(app, error, error_size) != 0 ||
	    pl_nonce_thread_start(&app->nonces, error, error_size) != 0)
		goto stop;
	pl_ready_answering(app);
	if (pl_loader_start(&app->loader, &app->config, app->intake.in, app->table,
			    app->table_known_to, &app->live, &app->views, error, error_size) != 0)
		goto stop;
	if (pl_intake_thread_start(&app->intake, error, error_size) != 0)
		goto stop;
	if (pl_telemetry_start(app) != 0) {
		snprintf(error, error_size, "telemetry commands cannot be registered");
		goto stop;
	}
	if (pl_desk_start(app, error, error_size) != 0)
		goto stop;
	code = pl_control_run(app);
	error[0] = '\0';
stop:
	pl_workers_stop(app);
out:
	unbuild(app);
	return code;
}

static int check(struct pl_app *app)
{
	static char error[PL_CONFIG_ERROR_SIZE];

	if (pl_config_load(&app->config, &app->args, error, sizeof(error)) != 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	printf("%s: no fault found: %u port(s), %u queue(s), %u gateway key(s), %u token key(s), "
	       "room for %llu certificates\n",
	       app->args.config_path, app->config.site.port_cnt, app->config.site.queue_cnt,
	       app->config.gateways->cnt, app->config.tokens->cnt,
	       (unsigned long long)app->config.site.table_capacity);
	pl_config_free(&app->config);
	return 0;
}

static int run(struct pl_app *app)
{
	static char error[PL_CONFIG_ERROR_SIZE];
	int code = 1;

	/* Before the EAL: a wrong configuration touches no device. */
	if (pl_config_load(&app->config, &app->args, error, sizeof(error)) != 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	if (eal_start(app, error, sizeof(error)) == 0) {
		dumps_off();
		code = serve(app, error, sizeof(error));
		(void)rte_eal_cleanup();
	} else {
		pl_config_free(&app->config);
	}
	if (error[0] != '\0')
		pl_say("%s", error);
	else if (code == 0)
		pl_say("stopped");
	return code;
}

int main(int argc, char **argv)
{
	static struct pl_app app = {.config_lock =
					    PTHREAD_MUTEX_INITIALIZER}; /* large, else zeros */
	char error[512];

	if (pl_args_parse(argc, argv, &app.args, error, sizeof(error)) != 0) {
		fprintf(stderr, "passline: %s\n", error);
		return 2;
	}
	switch (app.args.what) {
	case PL_ARGS_HELP:
		pl_args_help();
		return 0;
	case PL_ARGS_VERSION:
		printf("passline %s, %s\n", PL_VERSION, rte_version());
		return 0;
	case PL_ARGS_CHECK:
	case PL_ARGS_RUN:
	default:
		break;
	}
	if (sodium_init() < 0) {
		fprintf(stderr, "passline: libsodium does not start\n");
		return 1;
	}
	if (app.args.what == PL_ARGS_CHECK)
		return check(&app);
	signals_block();
	return run(&app);
}
