/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One slot of the certificate table: publishing, looking up, recording a scan, removing, and using
 * the slot again for another certificate after a grace period. Two readers, one writer; the
 * writer may stop for ever before any step (it then just is not scheduled: every safety claim holds
 * of each prefix), and each reader's burst is a fixed number of steps, so it never waits.
 *
 * Certificates are 1 and 2; facts of certificate c are c, so that foreign facts are seen. Of the
 * home's meta word only "leads to certificate c" is kept.
 *
 * Break it, to see that it finds what it is for:
 *   -DBREAK_PUBLISH  facts before id
 *   -DBREAK_GRACE    the slot is used again at once
 *   -DBREAK_EPOCH    the removed slot is stamped with the epoch before
 *   -DBREAK_SIGN     the signpost is put after the put has returned
 *   -DBREAK_QUIESCE  a reader announces the epoch it has not read
 */
#define NONE    0
#define READERS 2

byte id = NONE;
byte facts = NONE; /* 0: not present */
byte seen = NONE;  /* which certificate's scan is recorded here */
bool sign[3];      /* does the home lead here for this certificate? */
byte stamp = 0;    /* epoch at which it was removed */
byte epoch = 1;
byte passed[READERS];  /* epoch announced by each reader */
byte announced = NONE; /* this certificate's put has returned, and its remove has not begun */
bool through[READERS]; /* the reader's certificate has been announced since its lookup began */

inline insert(c)
{
	assert(facts == NONE);
#ifndef BREAK_SIGN
	sign[c] = true;
#endif
#ifdef BREAK_PUBLISH
	facts = c;
	seen = NONE;
	id = c;
#else
	id = c;
	seen = NONE;
	facts = c;
#endif
	assert(seen == NONE || seen == c);
	announced = c;
#ifdef BREAK_SIGN
	sign[c] = true;
#endif
}

inline remove(c)
{
	atomic
	{
		announced = NONE;
		through[0] = false;
		through[1] = false
	}
#ifdef BREAK_EPOCH
	stamp = epoch - 1;
#else
	stamp = epoch;
#endif
	facts = NONE;
}

inline grace()
{
	byte w = 0;
	epoch = epoch + 1;
#ifndef BREAK_GRACE
	do
		::w<READERS->passed[w]> stamp;
	w++ ::else->break od;
#endif
}

active proctype writer()
{
	insert(1);
	remove(1);
	grace();
	sign[1] = false;
	insert(2);
	remove(2)
}

/* Bursts: quiesce, look for c, and if found record a scan of it some time later. */
active[READERS] proctype reader()
{
	byte c, e, f, i;
	byte burst = 0;
	bool led;

	do
		::burst < 2->burst++;
#ifdef BREAK_QUIESCE
	e = epoch + 1;
#else
	e = epoch;
#endif
	passed[_pid - 1] = e;
	atomic
	{
		if
			::c = 1 ::c = 2 fi;
		through[_pid - 1] = (announced == c)
	}
	led = sign[c];
	f = facts; /* acquire, and before the id */
	i = id;
	if
		::led &&f != NONE &&i == c->assert(f == c); /* not another's facts */
	/* Some time later the slot still is this certificate's, or nobody's. */
	d_step
	{
		assert(id == c);
		seen = c
	}
	::else->assert(!through[_pid - 1]) /* not a miss of one that was there */
		fi ::else->break od
}
