/* SPDX-License-Identifier: BSD-3-Clause */
/* Inserting from several threads at once, for cold start. */
#include <errno.h>

#include "table/pl_table_pvt.h"

struct pl_table_bulk {
	struct pl_table *t;
	struct pl_map *m;
	atomic_uchar locks[PL_TABLE_BULK_LOCKS];
};

int pl_table_bulk_begin(struct pl_table *t, struct pl_table_bulk **out)
{
	struct pl_table_bulk *b;

	if (!t->writer)
		return -EPERM;
	if (t->bulk_on || t->grow != PL_GROW_NONE || t->marks != NULL)
		return -EBUSY;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->t = t;
	b->m = atomic_load_explicit(&t->view, memory_order_acquire)->cur;
	t->bulk_on = true;
	/* JOURNAL release: before any insert. A next writer counts anew. */
	atomic_store_explicit(&b->m->h->bulk, 1, memory_order_release);
	*out = b;
	return 0;
}

int pl_table_bulk_put(struct pl_table_bulk *b, const struct pl_table_entry *entries, size_t cnt,
		      size_t *done)
{
	struct pl_write w = {.t = b->t, .m = b->m, .locks = b->locks};

	return pl_map_put_many(&w, entries, cnt, done);
}

void pl_table_bulk_end(struct pl_table_bulk *b)
{
	b->t->bulk_on = false;
	/* JOURNAL release: all inserts and counts come before; the caller has joined the threads. */
	atomic_store_explicit(&b->m->h->bulk, 0, memory_order_release);
	free(b);
}
