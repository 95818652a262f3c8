/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target without a fuzzer: every file of the corpus as it is, then a fixed number of
 * mutations of each. The mutations depend on the file's bytes alone, so a failure repeats.
 * With -1 FILE it runs that one file, to look at a crash.
 */
#include "base/pl_base.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define MUTATIONS_PER_FILE 512u
#define FILE_SIZE_MAX      (1u << 20)
#define GROWTH_SIZE_MAX    64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	uint8_t *data;
	size_t size;
};

static uint64_t rng_state;

static uint64_t rng_next(void)
{
	rng_state += 0x9e3779b97f4a7c15ULL;
	return pl_mix64(rng_state);
}

static size_t rng_below(size_t bound)
{
	return (size_t)(rng_next() % bound);
}

static bool read_file(const char *path, struct input *in)
{
	FILE *f = fopen(path, "rb");
	struct stat st;

	if (f == NULL || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > FILE_SIZE_MAX) {
		fprintf(stderr, "%s: not a readable file of at most %u bytes\n", path,
			FILE_SIZE_MAX);
		if (f != NULL)
			fclose(f);
		return false;
	}
	in->size = (size_t)st.st_size;
	in->data = malloc(in->size + 1);
	PL_CHECK(in->data != NULL);
	PL_CHECK(fread(in->data, 1, in->size, f) == in->size);
	fclose(f);
	return true;
}

/** The target gets a block of just the right size, so that a sanitizer sees one byte too far. */
static void run_exact(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size == 0 ? 1 : size);

	PL_CHECK(copy != NULL);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/** One change to buf, whose block has room for room bytes. Returns the new size. */
static size_t mutate_once(uint8_t *buf, size_t size, size_t room)
{
	static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '\n', ',', '0', '"', ' '};
	size_t at;
	size_t cnt;

	if (size == 0) {
		buf[0] = (uint8_t)rng_next();
		return 1;
	}
	at = rng_below(size);
	switch (rng_below(6)) {
	case 0:
		buf[at] ^= (uint8_t)(1u << rng_below(8));
		return size;
	case 1:
		buf[at] = edges[rng_below(sizeof(edges))];
		return size;
	case 2:
		buf[at] = (uint8_t)rng_next();
		return size;
	case 3: /* cut short */
		return at;
	case 4: /* take some bytes out */
		cnt = 1 + rng_below(size - at);
		memmove(buf + at, buf + at + cnt, size - at - cnt);
		return size - cnt;
	default: /* repeat some bytes */
		cnt = 1 + rng_below(PL_ARRAY_CNT(edges));
		if (cnt > size - at)
			cnt = size - at;
		if (cnt > room - size)
			return size;
		memmove(buf + at + cnt, buf + at, size - at);
		return size + cnt;
	}
}

static void run_mutations(const struct input *in)
{
	size_t room = in->size + GROWTH_SIZE_MAX;
	uint8_t *buf = malloc(room);

	PL_CHECK(buf != NULL);
	rng_state = in->size;
	for (size_t i = 0; i < in->size; i++)
		rng_state = pl_mix64(rng_state ^ in->data[i]) + i;
	for (uint32_t i = 0; i < MUTATIONS_PER_FILE; i++) {
		size_t size = in->size;
		size_t changes_cnt = 1 + rng_below(4);

		memcpy(buf, in->data, size);
		while (changes_cnt-- > 0)
			size = mutate_once(buf, size, room);
		run_exact(buf, size);
	}
	free(buf);
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/** Returns how many files were run, 0 if the directory cannot be read. */
static int replay_dir(const char *dir)
{
	struct dirent **names;
	int cnt = scandir(dir, &names, not_hidden, alphasort);
	int done_cnt = 0;

	if (cnt < 0) {
		fprintf(stderr, "%s: %s\n", dir, strerror(errno));
		return 0;
	}
	for (int i = 0; i < cnt; i++) {
		struct input in;
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (read_file(path, &in)) {
			run_exact(in.data, in.size);
			run_mutations(&in);
			free(in.data);
			printf("ok %d - %s\n", ++done_cnt, names[i]->d_name);
			fflush(stdout);
		} else {
			printf("not ok %d - %s\n", ++done_cnt, names[i]->d_name);
		}
		free(names[i]);
	}
	free(names);
	return done_cnt;
}

int main(int argc, char **argv)
{
	struct input in;
	int cnt;

	if (argc == 3 && strcmp(argv[1], "-1") == 0) {
		if (!read_file(argv[2], &in))
			return 2;
		run_exact(in.data, in.size);
		free(in.data);
		return 0;
	}
	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS_DIR | -1 FILE\n", argv[0]);
		return 2;
	}
	run_exact((const uint8_t *)"", 0);
	cnt = replay_dir(argv[1]);
	if (cnt == 0)
		printf("not ok 1 - %s has no files\n", argv[1]);
	printf("1..%d\n", cnt == 0 ? 1 : cnt);
	return cnt == 0;
}
