/*
 * What stands in the sections of a file, as values that keeper can take.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 *
 * None of these names ever becomes a path; what they may hold is checked here
 * and again by who uses them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "log.h"
#include "record.h"
#include "sys.h"

#define FORMAT		"agentd-export"
#define SIZE_LIMIT	(1LL << 55)
#define FALLBACKS	32
#define DOMAINS		4096

/* ---- manifest ---- */

/* One section of the list, against what was found in the file. */
static int
check_section(const struct jspan *o, enum mf_section s, const struct mf *f,
    struct record *r, char why[WHY_LEN])
{
	static const char *const keys[] = { "name", "size", "rows", "sha256",
	    NULL };
	char name[16], sum[65], hex[65];
	struct doc d;
	int64_t size, rows;

	doc_open(&d, "manifest", o->p, o->len, keys, why, WHY_LEN);
	doc_str(&d, "name", true, DOC_VISIBLE, name, sizeof(name));
	doc_str(&d, "sha256", true, DOC_VISIBLE, sum, sizeof(sum));
	doc_int(&d, "size", true, 0, SIZE_LIMIT, 0, &size);
	doc_int(&d, "rows", true, 0, SIZE_LIMIT, 0, &rows);
	sys_hex(hex, f->part[s].sha256, 32);
	if (strcmp(name, mf_name(s)) != 0)
		doc_fail(&d, "its sections are not those of the file");
	else if ((uint64_t)size != f->part[s].size)
		doc_fail(&d, "section %s has another size", name);
	else if (strcmp(sum, hex) != 0)
		doc_fail(&d, "section %s has another SHA-256", name);
	r->rows[s] = (uint64_t)rows;
	return d.bad ? -1 : 0;
}

int
record_manifest(const char *p, size_t len, const struct mf *f,
    struct record *r, char why[WHY_LEN])
{
	static const char *const keys[] = { "format", "version", "server",
	    "arch", "agent_id", "slug", "framework", "image", "created_at",
	    "sections", NULL };
	char format[16], image[129];
	struct jspan list, key, e;
	struct jiter it;
	struct doc d;
	int64_t version;
	int s = 0;

	doc_open(&d, "manifest", p, len, keys, why, WHY_LEN);
	doc_str(&d, "format", true, DOC_VISIBLE, format, sizeof(format));
	doc_int(&d, "version", true, 1, 1, 0, &version);
	doc_str(&d, "server", true, DOC_VISIBLE, r->server,
	    sizeof(r->server));
	doc_str(&d, "arch", true, DOC_VISIBLE, r->arch, sizeof(r->arch));
	doc_str(&d, "agent_id", true, DOC_ID, r->agent_id,
	    sizeof(r->agent_id));
	doc_str(&d, "slug", true, DOC_SLUG, r->slug, sizeof(r->slug));
	doc_str(&d, "framework", true, DOC_VISIBLE, r->framework,
	    sizeof(r->framework));
	doc_str(&d, "image", false, DOC_VISIBLE, image, sizeof(image));
	doc_time(&d, "created_at", true, &r->exported_at);
	if (!d.bad && strcmp(format, FORMAT) != 0)
		doc_fail(&d, "it is not of an agent");
	if (!doc_raw(&d, "sections", JT_ARRAY, &list) ||
	    jscan_array(&it, list.p, list.len) == -1)
		return -1;
	while (!d.bad && jscan_next(&it, &key, &e) == 1) {
		if (s == MF_MANIFEST || e.type != JT_OBJECT)
			doc_fail(&d, "its sections are not those of the file");
		else if (check_section(&e, (enum mf_section)s++, f, r,
		    why) == -1)
			return -1;
	}
	if (s != MF_MANIFEST)
		doc_fail(&d, "its sections are not those of the file");
	return d.bad ? -1 : 0;
}

/* ---- record and policy ---- */

/* What the manifest, which is signed, says as well must be the same. */
static void
same(struct doc *d, const char *key, enum doc_kind kind, const char *signed_)
{
	char text[65];

	doc_str(d, key, true, kind, text, sizeof(text));
	if (!d->bad && strcmp(text, signed_) != 0)
		doc_fail(d, "%s is not the one of the manifest", key);
}

int
record_agent(const char *p, size_t len, struct record *r, char why[WHY_LEN])
{
	static const char *const keys[] = { "agent_id", "owner", "slug",
	    "display_name", "framework", "emoji", "color", "channel_id",
	    "memory", "cpus", "disk", "processes", "idle", "snapshots",
	    "created_at", NULL };
	struct doc d;

	doc_open(&d, "record", p, len, keys, why, WHY_LEN);
	same(&d, "agent_id", DOC_ID, r->agent_id);
	same(&d, "slug", DOC_SLUG, r->slug);
	same(&d, "framework", DOC_VISIBLE, r->framework);
	doc_str(&d, "owner", true, DOC_PLAIN, r->owner, sizeof(r->owner));
	doc_str(&d, "display_name", true, DOC_PLAIN, r->display_name,
	    sizeof(r->display_name));
	doc_str(&d, "emoji", false, DOC_PLAIN, r->emoji, sizeof(r->emoji));
	doc_str(&d, "color", false, DOC_VISIBLE, r->color, sizeof(r->color));
	doc_str(&d, "channel_id", false, DOC_ID, r->channel_id,
	    sizeof(r->channel_id));
	doc_str(&d, "snapshots", false, DOC_PLAIN, r->snapshots,
	    sizeof(r->snapshots));
	doc_int(&d, "memory", true, 1, SIZE_LIMIT, 0, &r->memory);
	doc_int(&d, "disk", true, 0, SIZE_LIMIT, 0, &r->disk);
	doc_int(&d, "cpus", true, 1, 65536, 0, &r->cpus);
	doc_int(&d, "processes", true, 0, 1 << 22, 0, &r->processes);
	doc_int(&d, "idle", false, 0, 1 << 30, 0, &r->idle);
	doc_time(&d, "created_at", true, &r->created_at);
	return d.bad ? -1 : 0;
}

int
record_policy(const char *p, size_t len, struct record *r, char why[WHY_LEN])
{
	static const char *const keys[] = { "model", "fallbacks", "network",
	    "domains", NULL };
	struct doc d;

	doc_open(&d, "policy", p, len, keys, why, WHY_LEN);
	doc_str(&d, "model", false, DOC_PLAIN, r->model, sizeof(r->model));
	doc_str(&d, "network", false, DOC_VISIBLE, r->network,
	    sizeof(r->network));
	doc_lines(&d, "fallbacks", FALLBACKS, r->fallbacks,
	    sizeof(r->fallbacks));
	doc_lines(&d, "domains", DOMAINS, r->domains, sizeof(r->domains));
	return d.bad ? -1 : 0;
}

/* ---- lines ---- */

static const char *
keep(struct texts *t, char *p)
{
	t->v[t->n++] = p;
	return p;
}

void
record_texts_free(struct texts *t)
{
	while (t->n > 0)
		free(t->v[--t->n]);
}

static bool
one_of(const char *s, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(s, *list) == 0)
			return true;
	return false;
}

int
record_message(const char *p, size_t len, struct m_move_message *m,
    struct texts *t, char why[WHY_LEN])
{
	static const char *const keys[] = { "id", "author_id", "author_type",
	    "content", "state", "trace_id", "error", "created_at",
	    "edited_at", NULL };
	static const char *const types[] = { "user", "agent", "system",
	    NULL };
	static const char *const states[] = { "queued", "delivered",
	    "answered", "failed", "complete", "error", NULL };
	struct doc d;

	t->n = 0;
	doc_open(&d, "chat", p, len, keys, why, WHY_LEN);
	m->id = keep(t, doc_dup(&d, "id", true, DOC_ID, 32));
	m->author_id = keep(t, doc_dup(&d, "author_id", true, DOC_PLAIN, 64));
	m->author_type = keep(t, doc_dup(&d, "author_type", true,
	    DOC_VISIBLE, 16));
	m->state = keep(t, doc_dup(&d, "state", true, DOC_VISIBLE, 16));
	m->trace_id = keep(t, doc_dup(&d, "trace_id", false, DOC_VISIBLE,
	    64));
	m->error = keep(t, doc_dup(&d, "error", false, DOC_TEXT, 4096));
	m->content = keep(t, doc_dup(&d, "content", true, DOC_TEXT,
	    CONTENT_MAX));
	doc_time(&d, "created_at", true, &m->created_at);
	doc_time(&d, "edited_at", false, &m->edited_at);
	if (!d.bad && !one_of(m->author_type, types))
		doc_fail(&d, "author_type is none that is known");
	if (!d.bad && !one_of(m->state, states))
		doc_fail(&d, "state is none that is known");
	return d.bad ? -1 : 0;
}

int
record_event(const char *p, size_t len, struct m_trace_event *m,
    struct texts *t, const char **payload, size_t *payloadlen,
    char why[WHY_LEN])
{
	struct jspan v = { "{}", 2, JT_OBJECT };
	struct doc d;
	int64_t n;

	t->n = 0;
	memset(m, 0, sizeof(*m));
	/* Members that this version does not know may come with newer ones. */
	doc_open(&d, "trace", p, len, NULL, why, WHY_LEN);
	doc_int(&d, "v", true, 1, 1, 0, &n);
	m->id = keep(t, doc_dup(&d, "id", true, DOC_VISIBLE, 64));
	m->trace_id = keep(t, doc_dup(&d, "trace_id", false, DOC_VISIBLE,
	    64));
	m->parent_id = keep(t, doc_dup(&d, "parent_id", false, DOC_VISIBLE,
	    64));
	m->kind = keep(t, doc_dup(&d, "kind", true, DOC_VISIBLE, 32));
	m->channel_id = keep(t, doc_dup(&d, "channel_id", false, DOC_VISIBLE,
	    64));
	m->thread_id = keep(t, doc_dup(&d, "thread_id", false, DOC_VISIBLE,
	    64));
	m->backend_name = keep(t, doc_dup(&d, "backend_name", false,
	    DOC_TEXT, 64));
	m->model = keep(t, doc_dup(&d, "model", false, DOC_TEXT, 256));
	m->error = keep(t, doc_dup(&d, "error", false, DOC_TEXT, 2048));
	m->source = keep(t, doc_dup(&d, "source", false, DOC_VISIBLE, 16));
	doc_time(&d, "created_at", true, &m->created_at);
	doc_int(&d, "duration_ms", false, 0, INT64_MAX, -1, &m->duration_ms);
	doc_int(&d, "tokens_in", false, 0, INT64_MAX, -1, &m->tokens_in);
	doc_int(&d, "tokens_out", false, 0, INT64_MAX, -1, &m->tokens_out);
	doc_cost(&d, "cost_usd", &m->cost_pico);
	(void)doc_raw(&d, "payload", JT_OBJECT, &v);
	m->payload = "";
	m->agent_id = "";
	*payload = v.p;
	*payloadlen = v.len;
	return d.bad ? -1 : 0;
}
