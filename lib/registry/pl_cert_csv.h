/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Certificates as CSV: a header line that names the columns, then a certificate a line.
 *
 *   id          0x and hex digits, or decimal; 1 .. 2^64 - 1                      required
 *   kind        a name of lib/cert: primary, booster, ...                         required
 *   event_date  YYYY-MM-DD, 1970-01-01 .. 2149-06-06                              required
 *   key_epoch   0 .. 7                                     if left out or empty: the reader's
 *   generation  0 .. 15                                    if left out or empty: 0
 *   revoked     0 or 1                                     if left out or empty: 0
 *   suspended   0 or 1                                     if left out or empty: 0
 *
 * Columns may come in any order, each at most once, others are refused. A field may stand in
 * double quotes; nothing that a column takes needs them. Lines end with LF or CRLF; a byte order
 * mark before the header is passed over.
 */
#ifndef PL_CERT_CSV_H
#define PL_CERT_CSV_H

#include "base/pl_base.h"
#include "cert/pl_cert.h"

#define PL_CERT_CSV_HEADER        "id,kind,event_date,key_epoch,generation,revoked,suspended"
#define PL_CERT_CSV_COLUMN_CNT    7u
#define PL_CERT_CSV_LINE_SIZE_MAX 1024u /* of input, without its end */
#define PL_CERT_CSV_OUT_SIZE      96u   /* of output, with newline and NUL */
#define PL_CERT_ID_TEXT_SIZE      19u   /* "0x", 16 digits, NUL */

/** "0x0123456789abcdef": the one form in which ids are printed. */
void pl_cert_id_format(uint64_t id, char text[PL_CERT_ID_TEXT_SIZE]);
/** Hex with 0x before it, or decimal, of size bytes. @return false for anything else and for 0. */
bool pl_cert_id_parse(const char *text, size_t size, uint64_t *id);

/** Which column is what, from the header line. */
struct pl_cert_csv_layout {
	uint8_t column_cnt;
	uint8_t column[PL_CERT_CSV_COLUMN_CNT];
	uint8_t key_epoch; /* for lines that have none */
	bool ids_only;     /* only the id of a line is looked at */
};

/**
 * Read a header line or a certificate's line, of size bytes, without its end.
 *
 * @param error  names the field, what was expected and what was there; never unprintable.
 * @return 0 or -EINVAL.
 * Thread: any. Blocks: no. Allocates: no.
 */
PL_MUST_USE int pl_cert_csv_header(struct pl_cert_csv_layout *layout, const char *text, size_t size,
				   char *error, size_t error_size);
PL_MUST_USE int pl_cert_csv_line(const struct pl_cert_csv_layout *layout, const char *text,
				 size_t size, struct pl_cert *out, char *error, size_t error_size);

/** A line with all columns in the order of PL_CERT_CSV_HEADER, newline included. @return bytes. */
size_t pl_cert_csv_format(const struct pl_cert *c, char line[PL_CERT_CSV_OUT_SIZE]);

/** A file being read; opaque; one thread at a time; bounded memory whatever the file holds. */
struct pl_cert_csv;

struct pl_cert_csv_conf {
	const char *path;  /* "-": standard input */
	uint8_t key_epoch; /* for lines that have none */
	bool ids_only;     /* other columns need not be there, and are not looked at */
};

/** @return 0, or -errno with error naming file and line: the header is read here. */
PL_MUST_USE int pl_cert_csv_open(const struct pl_cert_csv_conf *conf, struct pl_cert_csv **out,
				 char *error, size_t error_size);
void pl_cert_csv_close(struct pl_cert_csv *csv);

/**
 * The next certificate.
 * @return 1: *out is set. 0: the end. -EINVAL: this line is bad, error says where and why, and
 * the next call goes on behind it. Another -errno: the file cannot be read.
 */
PL_MUST_USE int pl_cert_csv_next(struct pl_cert_csv *csv, struct pl_cert *out, char *error,
				 size_t error_size);

/** The line that pl_cert_csv_next() looked at last, cut at PL_CERT_CSV_LINE_SIZE_MAX. */
const char *pl_cert_csv_text(const struct pl_cert_csv *csv, size_t *size);
uint64_t pl_cert_csv_line_nr(const struct pl_cert_csv *csv);
/** The header line, as it was. */
const char *pl_cert_csv_header_text(const struct pl_cert_csv *csv, size_t *size);

#endif
