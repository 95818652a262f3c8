/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What one appliance is told about its site: the configuration file, checked as a whole. Every
 * key, its unit, range and default: docs/configuration.md.
 */
#ifndef PL_SITE_H
#define PL_SITE_H

#include <sys/socket.h>

#include "base/pl_base.h"
#include "net/pl_net.h"

#define PL_SITE_PORTS_MAX 8u
/* Of all ports together. A reply's nonce has room for 256; the table has room for 64 readers,
 * which two processes share while one takes over from the other. */
#define PL_SITE_QUEUES_MAX       30u
#define PL_SITE_APPLIANCE_ID_MAX ((1u << 24) - 1)
#define PL_SITE_NAME_SIZE        64u
#define PL_SITE_PLATFORMS_MAX    256u
#define PL_SITE_PLATFORM_SIZE    32u   /* of its name, with the NUL */
#define PL_SITE_SPANS_MAX        1024u /* of all platforms together */
#define PL_SITE_PATH_SIZE        1024u /* with its NUL */
#define PL_SITE_FEED_PORT        4718u /* TCP, where segments are pushed to */
#define PL_SITE_ERROR_SIZE       8192u /* room for every error that one file is told at once */

/** One ethdev port. */
struct pl_site_port {
	char name[PL_SITE_NAME_SIZE];   /* the section's argument: [port NAME] */
	char device[PL_SITE_NAME_SIZE]; /* ethdev name: net_memif0, net_af_xdp0, 0000:01:00.0 */
	uint32_t queue_cnt;             /* receive queues, each served by one worker lcore */
	bool garp;                      /* announce the addresses on start */
	/* Addresses, VLAN and UDP port. The MAC and the link-local IPv6 address are the device's:
	 * zero here, filled in by who opens the port (room for the latter is kept). */
	struct pl_net_if net;
};

/** Gateways of one platform, by their numbers; both ends included. */
struct pl_site_span {
	uint32_t first;
	uint32_t last;
	uint32_t platform; /* index in platforms */
};

enum pl_site_memory {
	PL_SITE_MEMORY_AUTO = 0,      /* hugepages if there are enough, else ordinary pages */
	PL_SITE_MEMORY_HUGEPAGES = 1, /* or fail */
	PL_SITE_MEMORY_PAGES = 2,
};

enum pl_site_idle {
	PL_SITE_IDLE_SPIN = 0,  /* poll without a break: lowest latency */
	PL_SITE_IDLE_PAUSE = 1, /* a pause instruction between empty polls */
	PL_SITE_IDLE_SLEEP = 2, /* sleep idle_us after a run of empty polls */
};

#define PL_SITE_NUMA_ANY (-1)

struct pl_site {
	/* [site] */
	char name[PL_SITE_NAME_SIZE];
	char time_zone[PL_SITE_NAME_SIZE]; /* IANA name, known to be installed */
	char state_dir[PL_SITE_PATH_SIZE];
	uint32_t appliance_id; /* 1 .. PL_SITE_APPLIANCE_ID_MAX */

	/* [port NAME], in the file's order */
	uint32_t port_cnt;  /* 1 .. PL_SITE_PORTS_MAX */
	uint32_t queue_cnt; /* of all ports, 1 .. PL_SITE_QUEUES_MAX */
	struct pl_site_port ports[PL_SITE_PORTS_MAX];

	/* [keys] */
	char authority_path[PL_SITE_PATH_SIZE];
	char token_dir[PL_SITE_PATH_SIZE];
	char gateway_dir[PL_SITE_PATH_SIZE];

	/* [feed] */
	char feed_store_dir[PL_SITE_PATH_SIZE]; /* the appliance's own segments; made if absent */
	char feed_dir[PL_SITE_PATH_SIZE];       /* where others put segments; "": nowhere */
	struct sockaddr_storage feed_listen;    /* where the authority connects to; family 0: off */
	uint64_t feed_certs_per_s_max;
	uint32_t feed_age_s_max; /* feed older than this: an absent certificate is UNKNOWN */

	/* [table] */
	uint64_t table_capacity;            /* certificates */
	uint32_t table_memory;              /* enum pl_site_memory */
	char table_path[PL_SITE_PATH_SIZE]; /* on hugetlbfs; for PL_SITE_MEMORY_PAGES on tmpfs */
	char table_fallback_path[PL_SITE_PATH_SIZE]; /* on tmpfs; "" unless PL_SITE_MEMORY_AUTO */
	int32_t table_numa_node;                     /* or PL_SITE_NUMA_ANY */

	/* [policy] */
	char policy_path[PL_SITE_PATH_SIZE]; /* "": the built-in rules */

	/* [control] */
	char control_path[PL_SITE_PATH_SIZE];  /* of the control socket */
	char control_owner[PL_SITE_NAME_SIZE]; /* a user's name; "": who runs the appliance */
	char control_group[PL_SITE_NAME_SIZE]; /* a group's name; "": as above */
	uint32_t control_mode;                 /* 0600 or 0660 */

	/* [limits] */
	uint32_t request_age_ms_max;
	uint16_t retry_after_ms;
	bool shed; /* limit who takes more than their share while a worker cannot keep up */

	/* [platform NAME], in the file's order: gateways with one share together */
	uint32_t platform_cnt;
	uint32_t span_cnt;
	char platforms[PL_SITE_PLATFORMS_MAX][PL_SITE_PLATFORM_SIZE];
	struct pl_site_span spans[PL_SITE_SPANS_MAX]; /* by first; none overlaps another */

	/* [clock] */
	bool need_synchronised;
	uint32_t step_ms_max;
	uint32_t settle_s;

	/* [worker] */
	uint32_t idle;    /* enum pl_site_idle */
	uint32_t idle_us; /* for PL_SITE_IDLE_SLEEP */
	uint32_t drain_ms;
};

/**
 * Read and check a configuration file. Every error in it is reported, not the first alone (up to
 * 20): one a line, with file, line, section, key, what is allowed and what to do.
 *
 * Relative paths in it are taken from the file's own directory. Files and directories that it
 * names are not opened; the time zone is looked up.
 *
 * @param out         valid on success only.
 * @param error_size  PL_SITE_ERROR_SIZE holds them all; fewer bytes cut the list short.
 * @return 0; -EINVAL for errors in the text; another -errno if the file cannot be read.
 * Thread: any. Blocks: reads files.
 */
PL_MUST_USE int pl_site_load(const char *path, struct pl_site *out, char *error, size_t error_size);

/** The same from bytes; path serves messages and relative paths only. text needs no NUL. */
PL_MUST_USE int pl_site_parse(const char *path, const char *text, size_t size, struct pl_site *out,
			      char *error, size_t error_size);

/** The platform of a gateway, as an index in platforms, or -1: of none. */
int32_t pl_site_platform_of(const struct pl_site *s, uint32_t gateway_id);

/**
 * What differs between the site that runs and one that was read again, of all that a running
 * appliance cannot change: each such key on a line of its own, with the remedy.
 *
 * @param text  "" if there is none; cut short if text_size is too small.
 * @return how many keys.
 */
uint32_t pl_site_frozen_diff(const struct pl_site *now, const struct pl_site *next, char *text,
			     size_t text_size);

/**
 * Take over all that a running appliance can change from a site in which nothing else differs. What
 * cannot change is not written to, not even with the same bytes: others read it meanwhile.
 */
void pl_site_reload(struct pl_site *now, const struct pl_site *next);

#endif
