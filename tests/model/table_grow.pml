/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replacing a table under its readers: the newest accepted scan of one certificate. The old word
 * decides until it is frozen, the new one after. Two readers show the same QR (time 1) with hashes
 * of their own, or a newer one (time 2); the writer replaces the table meanwhile. Each QR is
 * accepted once and no more, whatever view each reader has, and no reader ends up unsure.
 *
 * Break it, to see that it finds what it is for:
 *   -DBREAK_FREEZE  the old word is copied without freezing it
 *   -DBREAK_HELP    a reader that meets a frozen word does not raise the new one first
 *   -DBREAK_GRACE   freezing begins before every reader knows both tables
 *   -DBREAK_DROP    the old table goes before its words were merged
 *   -DBREAK_CAS     a scan is recorded by load and store
 */
#define READERS 2
#define QRS     3

/* Word: time * 4 + reader's hash; frozen apart, as one more bit of the same word. */
byte old = 0, new = 0;
bool frozen = false;
byte view = 0;      /* 0: {old}, 1: {new, old}, 2: {new} */
byte at[READERS];   /* the view that each reader works with */
byte accepted[QRS]; /* how often a QR of this time was accepted */

/* The replay rule; got: 0 replayed or resend, 1 new, 2 frozen. One CAS, at most 3 tries. */
inline accept(word, is_old, want)
{
	got = 0;
	tries = 0;
	have = word;
	do
		::is_old &&frozen->got = 2;
	break ::!(is_old && frozen) && (have / 4) >= ((want) / 4)->got = 0;
	break ::!(is_old && frozen) && (have / 4) < ((want) / 4)
							    ->
#ifdef BREAK_CAS
						    word = want;
	got = 1;
	break
#else
						     atomic
	{
		if
			::word == have && !(is_old && frozen)->word = want;
		got = 1;
		break ::else->have = word;
		tries++ fi
	}
	if
		::tries > 3->got = 0;
	break ::else fi
#endif
		od
}

/* CAS-max. */
inline raise(value)
{
	atomic
	{
		if
			::(new / 4) < ((value) / 4)->new = value ::else fi
	}
}

active[READERS] proctype reader()
{
	byte got, have, tries, time, v, n = 0;

	do
		::n < 2->n++;
	at[_pid] = view; /* quiesce: nothing is held from before */
	v = at[_pid];
	if
		::time = 1 ::time = 2 fi;
	got = 2;
	if
		::v != 2->accept(old, true, time * 4 + _pid)::else fi;
	if
		::v == 0 &&
			got ==
				2->assert(false) /* unsure, and nothing had failed */
				::v == 1 &&
			got == 2->
#ifndef BREAK_HELP
				raise(old);
#endif
	accept(new, false, time * 4 + _pid)::v == 2->accept(new, false, time * 4 + _pid)::else fi;
	atomic
	{
		if
			::got == 1->accepted[time]++;
		assert(accepted[time] <= 1)::else fi
	}
	::else->break od;
	at[_pid] = 3 /* gone */
}

#define ALL_KNOW(x) (at[0] >= (x) && at[1] >= (x))

active proctype writer()
{
	byte last;

	view = 1;
#ifndef BREAK_GRACE
	ALL_KNOW(1);
#endif
#ifdef BREAK_DROP
	view = 2;
#endif
#ifndef BREAK_FREEZE
	frozen = true;
#endif
	last = old;
	raise(last);
	view = 2;
	ALL_KNOW(2)
	/* the old table goes */
}
