/*
 * Fuzz target: the reader of frames of exec sessions, whole and cut.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: check --fuzz.  Talks to: nobody.
 */
#include <stdint.h>
#include <stdlib.h>

#include "xframe.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct xf f;
	unsigned int cols, rows;
	uint32_t status;
	size_t at, have;
	ssize_t n, cut;

	for (at = 0; at < len; at += (size_t)n) {
		n = xf_read(data + at, len - at, &f);
		if (n <= 0)
			break;
		if ((size_t)n > len - at || f.len > XF_MAX ||
		    f.data != data + at + XF_HEAD ||
		    (size_t)n != f.len + XF_HEAD)
			abort();
		(void)xf_get_resize(&f, &cols, &rows);
		(void)xf_get_exit(&f, &status);
		/* A part of a frame is never one. */
		for (have = 0; have < (size_t)n && have < 64; have++) {
			cut = xf_read(data + at, have, &f);
			if (cut != 0)
				abort();
		}
	}
	return 0;
}
