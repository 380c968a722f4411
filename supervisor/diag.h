/*
 * A bounded list of what is wrong with a file, with line and column.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef DIAG_H
#define DIAG_H

#include <stddef.h>
#include <stdio.h>

#define DIAG_MAX	100	/* entries kept of one file */

struct diag {
	unsigned	 line;		/* 0: of the file as a whole */
	unsigned	 col;
	char		*text;
};

struct diags {
	char		*file;
	struct diag	 v[DIAG_MAX];
	size_t		 n;
	size_t		 dropped;
};

/* The name is copied.  Fatal without memory, also below. */
struct diags	*diags_new(const char *file);
void		 diags_free(struct diags *);
void		 diags_add(struct diags *, unsigned line, unsigned col,
		    const char *, ...) __attribute__((format(printf, 4, 5)));
/* Calls with "file:line:column: text", in the order of the file. */
void		 diags_each(struct diags *, void (*)(const char *, void *),
		    void *);
/* Text from a file, quoted and made printable; at most 60 bytes of it. */
const char	*diag_quote(const char *, char *, size_t);

#endif /* DIAG_H */
