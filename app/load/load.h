/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * passline-load: its settings, and what it counts. One thread does everything.
 */
#ifndef PL_LOAD_H
#define PL_LOAD_H

#include <signal.h>

#include "client/pl_client.h"
#include "latency.h"
#include "mix.h"
#include "net/pl_net_ask.h"
#include "seal/pl_seal.h"
#include "wire/pl_wire.h"

#define LOAD_BURST     32u
#define LOAD_FLOWS_MAX 1024u

enum load_exit {
	LOAD_EXIT_OK = 0,
	LOAD_EXIT_WRONG = 1, /* a wrong verdict, or no answer at all */
	LOAD_EXIT_USAGE = 3, /* wrong usage, or it could not start */
};

struct load_args {
	/* Where to. */
	const char *sockets; /* NULL: a DPDK port */
	struct pl_client_addr sockets_addr;
	const char *device; /* ethdev name; NULL: the only one */
	struct pl_net_flow flow;
	bool dst_mac_given;
	uint32_t flow_cnt; /* source ports */
	bool echo;         /* the peer sends our own datagrams back */
	const char *telemetry_path;
	/* As whom. */
	const char *key_path;
	const char *key_dir;
	const char *state_dir;
	/* About whom. */
	const char *token_key_dir;
	const char *policy_path;
	const char *time_zone;
	const char *doses_path;
	uint64_t seed;
	uint64_t cert_cnt;
	const char *await_path; /* certificates that are still to come; NULL: none */
	int32_t as_of_day;      /* INT32_MIN: today */
	uint32_t key_epoch;
	uint32_t venue_class;
	uint32_t part_idx;
	uint32_t part_cnt;
	/* What. */
	struct mix mix;
	uint32_t scan_cnt; /* a datagram, 1 .. PL_WIRE_SCANS_MAX */
	uint32_t pool_cnt; /* datagrams; 0: by itself */
	bool fresh;
	double garbage_share;
	double surge_share;      /* of what is sent is some gateways'; 0: all take turns */
	uint32_t surge_gateways; /* how many */
	uint32_t refresh_ms;
	/* How fast, how long. */
	double rate;          /* datagrams a second; 0: closed loop */
	bool lossy;           /* what the port does not take is lost */
	uint32_t outstanding; /* closed loop */
	double seconds;
	double warmup_s;
	uint32_t interval_ms; /* 0: figures of the whole only */
	double check_share;
	enum pl_seal_engine seal_engine;
	bool json;
};

/** @return -1 to go on, or the exit code to end with. argv[0] is skipped. */
int load_args_parse(struct load_args *args, int argc, char **argv);
/** Whether `--sockets` is among the options: then there is no EAL to start. */
bool load_args_want_sockets(int argc, char **argv);
/** Where the first "--" is: the EAL's options end there. -1 without: it would take all for its own. */
int load_args_separator(int argc, char **argv);

/* C(field, text) */
#define LOAD_COUNTERS(C)                                                        \
	C(sent, "datagrams sent")                                               \
	C(answered, "datagrams answered")                                       \
	C(extra, "replies that came twice, or after the datagram was given up") \
	C(wrong, "verdicts that are not the right PASS or DENY")                \
	C(unknown, "verdicts UNKNOWN where PASS or DENY was right")             \
	C(checked, "verdicts compared")                                         \
	C(foreign, "datagrams that are no reply to our gateways")               \
	C(bad_seal, "replies that do not authenticate")                         \
	C(mismatched, "replies that do not fit their request")                  \
	C(tx_full, "bursts that the port did not take whole")                   \
	C(overrun, "datagrams that the port did not take, lost (--lossy)")      \
	C(rebuilt, "datagrams sealed anew")                                     \
	C(stalls, "times that the load was not running for a millisecond")      \
	C(stalled_us, "microseconds that these took")                           \
	C(garbage_sent, "garbage sent")                                         \
	C(old_sent, "of it, datagrams authentic but an hour old")               \
	C(old_answered, "of these, answered as they must be: stale_request")    \
	C(old_wrong, "of these, answered otherwise")

/* Of --surge: those who surge, and the rest. */
enum load_side { LOAD_SURGING, LOAD_OTHERS, LOAD_SIDE_CNT };

struct load_side_stats {
	uint64_t sent;
	uint64_t answered;      /* busy ones included */
	uint64_t busy;          /* told to come back */
	struct latency latency; /* of those with verdicts, in TSC cycles */
};

struct load_stats {
#define C(field, text) uint64_t field;
	LOAD_COUNTERS(C)
#undef C
	uint64_t states[4];                              /* replies by enum pl_state */
	uint64_t verdicts[PL_V_CODE_END][PL_V_CODE_END]; /* [right][got], by wire code */
	struct latency latency;                          /* in TSC cycles */
	struct load_side_stats sides[LOAD_SIDE_CNT];     /* with --surge */
};

/** Set by SIGINT and SIGTERM: end the run and report what there is. */
extern volatile sig_atomic_t load_stop;

#endif
