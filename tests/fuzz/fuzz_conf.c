/*
 * Fuzz target: agentd.yaml and framework manifests.
 *
 * SPDX-License-Identifier: ISC
 *
 * The first byte picks which of the two the rest is.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "conf.h"
#include "diag.h"
#include "log.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
each(const char *line, void *arg)
{
	static volatile size_t sum;

	(void)arg;
	/* Every message names the file. */
	if (strncmp(line, "fuzz", 4) != 0)
		abort();
	sum = sum + strlen(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct framework f;
	struct diags *d;
	char *copy;

	if (len == 0)
		return 0;
	/* Of exact size, so that a read beyond its end is seen. */
	if ((copy = malloc(len > 1 ? len - 1 : 1)) == NULL)
		return 0;
	memcpy(copy, data + 1, len - 1);
	d = diags_new("fuzz");
	if (data[0] & 1) {
		if (catalog_parse(copy, len - 1, "pi", &f, d) == 0) {
			/* A good one is complete. */
			if (f.id == NULL || f.image == NULL || f.memory == 0)
				abort();
			catalog_framework_free(&f);
		}
	} else {
		conf_free(conf_parse(copy, len - 1, d));
	}
	diags_each(d, each, NULL);
	diags_free(d);
	free(copy);
	return 0;
}
