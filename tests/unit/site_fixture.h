/* SPDX-License-Identifier: BSD-3-Clause */
/* Texts of a site file, and what came of parsing one. */
#ifndef SITE_FIXTURE_H
#define SITE_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "site/pl_site.h"

static char error[PL_SITE_ERROR_SIZE];
static struct pl_site site;

/* The least that a site must say. UTC needs no time zone database. */
#define SITE  "[site]\nappliance-id = 7\ntime-zone = UTC\n"
#define PORT  "[port p0]\ndevice = net_ring0\naddresses = 10.0.0.1/24\n"
#define KEYS  "[keys]\nauthority = a.pub\ntoken-dir = t\ngateway-dir = g\n"
#define FEED  "[feed]\ndir = f\n"
#define TABLE "[table]\ncapacity = 1000\n"
#define REST  KEYS FEED TABLE
#define LEAST SITE PORT REST

static int parse(const char *text)
{
	memset(&site, 0xa5, sizeof(site));
	memset(error, 0, sizeof(error));
	return pl_site_parse("/etc/x/site.conf", text, strlen(text), &site, error, sizeof(error));
}

/** A site file, and what its refusal has to say. */
struct fault {
	const char *conf;
	const char *note;
};

static inline void assert_told(const struct fault *faults, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (parse(faults[i].conf) != -EINVAL || strstr(error, faults[i].note) == NULL)
			fail_msg("%s\ngives: %s\nnot: %s", faults[i].conf, error, faults[i].note);
}

#endif
