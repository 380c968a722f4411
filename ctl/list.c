/*
 * Lists of the API as tables.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl.  Talks to: front.
 */
#include "ctl.h"
#include "jbuf.h"

int
out_list(struct ctl *ctl, const char *path, const char *const *heads,
    void (*row)(struct table *, struct json_object *))
{
	struct json_object *o;
	struct table *t;
	struct reply r;
	unsigned n = 0;
	size_t i;

	if (rest_get(ctl, path, &r) == -1) {
		reply_free(&r);
		return CTL_FAIL;
	}
	if (ctl->json) {
		out_json(&r);
		reply_free(&r);
		return CTL_OK;
	}
	while (heads[n] != NULL)
		n++;
	t = table_new(n);
	for (i = 0; i < n; i++)
		table_cell(t, "%s", heads[i]);
	for (i = 0; (o = jat(r.doc, i)) != NULL; i++)
		row(t, o);
	table_print(ctl, t);
	reply_free(&r);
	return CTL_OK;
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
