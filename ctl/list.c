/*
 * Answers of the API in words and as tables, or as they came.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl.  Talks to: front.
 */
#include <stdio.h>

#include "ctl.h"
#include "jbuf.h"

bool
out_words(struct ctl *ctl, int ret, const struct reply *r)
{
	if (ret == 0 && ctl->json)
		out_json(r);
	return ret == 0 && !ctl->json;
}

int
reply_exit(int ret, struct reply *r)
{
	reply_free(r);
	return ret == 0 ? CTL_OK : CTL_FAIL;
}

void
out_status(const char *name, struct json_object *doc)
{
	out_str(name);
	(void)printf(": ");
	out_str(jstr(doc, "status"));
	(void)putchar('\n');
}

void
out_rows(struct ctl *ctl, struct json_object *list, const char *const *heads,
    void (*row)(struct table *, struct json_object *))
{
	struct json_object *o;
	struct table *t;
	unsigned n = 0;
	size_t i;

	while (heads[n] != NULL)
		n++;
	t = table_new(n);
	for (i = 0; i < n; i++)
		table_cell(t, "%s", heads[i]);
	for (i = 0; (o = jat(list, i)) != NULL; i++)
		row(t, o);
	table_print(ctl, t);
}

int
out_list(struct ctl *ctl, const char *path, const char *const *heads,
    void (*row)(struct table *, struct json_object *))
{
	struct reply r;
	int ret = rest_get(ctl, path, &r);

	if (out_words(ctl, ret, &r))
		out_rows(ctl, r.doc, heads, row);
	return reply_exit(ret, &r);
}

void
jb_strings(struct jbuf *b, const char *key, const char *const *text,
    size_t n)
{
	size_t i;

	jb_key(b, key);
	jb_arr(b);
	for (i = 0; i < n; i++)
		jb_str(b, text[i]);
	jb_end(b);
}
