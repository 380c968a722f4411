/*
 * Trace events: checks, the clamped time, digests, envelope v1.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: nobody.
 */
#include <sys/types.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "jscan.h"
#include "sys.h"
#include "trace.h"

#define PAST_MAX	(7 * 86400.0)	/* seconds that an event may be old */
#define FUTURE_MAX	300.0
#define PAYLOAD_DEPTH	64
#define TEXT_MAX	(256 * 1024)	/* of what is no JSON: it may grow */
#define TEXTS		9		/* strings behind struct tev */

static const char *const kinds[] = {
	"message_in", "message_out", "llm_call", "tool_call", "tool_result",
	"reasoning", "error", "lifecycle", NULL
};

bool
tev_kind(const char *kind)
{
	size_t i;

	for (i = 0; kinds[i] != NULL; i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

/* Ids come from anywhere: visible ASCII, so that they can be shown. */
static bool
is_plain(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s < 0x21 || *s > 0x7e)
			return false;
	return true;
}

const char *
tev_check(const struct m_trace_event *m)
{
	if (!sys_is_id(m->agent_id))
		return "agent_id: not an id";
	if (!tev_kind(m->kind))
		return "kind: none of message_in, message_out, llm_call, "
		    "tool_call, tool_result, reasoning, error, lifecycle";
	if (!is_plain(m->id))
		return "id: only visible ASCII characters are allowed";
	if (!is_plain(m->trace_id))
		return "trace_id: only visible ASCII characters are allowed";
	if (!is_plain(m->parent_id))
		return "parent_id: only visible ASCII characters are allowed";
	if (!is_plain(m->channel_id))
		return "channel_id: only visible ASCII characters are allowed";
	if (!is_plain(m->thread_id))
		return "thread_id: only visible ASCII characters are allowed";
	return NULL;
}

/* ---- payload ---- */

/* Does the object have one of the keys that the writer adds? */
static int
reserved_key(void *arg, const struct jscan_member *m)
{
	bool *found = arg;

	if (strcmp(m->key, "original_created_at") == 0 ||
	    strcmp(m->key, "conflict_of") == 0)
		*found = true;
	return 0;
}

static char *
jbuf_take(struct jbuf *b, size_t *len)
{
	const char *text = jbuf_text(b, len);
	char *copy = text == NULL ? NULL : strdup(text);

	jbuf_free(b);
	return copy;
}

/* What is no object of JSON is kept as text. */
static char *
payload_normal(char *p, size_t len, size_t *outlen)
{
	struct jbuf b;
	bool object;
	size_t i;

	if (len == 0) {
		free(p);
		*outlen = 2;
		return strdup("{}");
	}
	object = jscan_buf(p, len, PAYLOAD_DEPTH, 0, NULL, NULL, NULL) == 0;
	if (object) {
		/* One line: outside of strings these are only blanks. */
		for (i = 0; i < len; i++)
			if (p[i] == '\n' || p[i] == '\r')
				p[i] = ' ';
		*outlen = len;
		return p;
	}
	jbuf_init(&b, TRACE_JSON_MAX);
	jb_obj(&b);
	jb_key(&b, "text");
	jb_strn(&b, p, len > TEXT_MAX ? TEXT_MAX : len);
	if (len > TEXT_MAX)
		jb_kint(&b, "cut_from", (int64_t)len);
	jb_end(&b);
	free(p);
	return jbuf_take(&b, outlen);
}

/*
 * Puts a member in front: value is JSON.  When the payload has such a member
 * itself, the whole of it moves one level down.
 */
static int
payload_prepend(struct tev *e, const char *key, const char *value)
{
	const char *rest = strchr(e->payload, '{') + 1;
	bool found = false;
	char *p;
	int n;

	/* An error here is a key too long to compare: move it as well. */
	if (jscan_buf(e->payload, strlen(e->payload), PAYLOAD_DEPTH, 0,
	    reserved_key, &found, NULL) == -1)
		found = true;
	rest += strspn(rest, " \t");
	if (found)
		n = asprintf(&p, "{\"%s\":%s,\"payload\":%s}", key, value,
		    e->payload);
	else
		n = asprintf(&p, "{\"%s\":%s%s%s", key, value,
		    *rest == '}' ? "" : ",", rest);
	if (n == -1)
		return -1;
	free(e->payload);
	e->payload = p;
	return 0;
}

/* ---- making one ---- */

static void
digest_str(crypto_generichash_state *st, const char *s)
{
	/* With the NUL: fields must not run into each other. */
	crypto_generichash_update(st, (const unsigned char *)s,
	    strlen(s) + 1);
}

static void
digest(uint8_t out[TRACE_DIGEST], const struct m_trace_event *m,
    const char *payload, size_t len)
{
	const char *const texts[] = {
		m->agent_id, m->id, m->trace_id, m->parent_id, m->kind,
		m->channel_id, m->thread_id, m->backend_name, m->model,
		m->error, m->source
	};
	crypto_generichash_state st;
	int64_t n[4] = { m->duration_ms, m->tokens_in, m->tokens_out,
	    m->cost_pico };
	size_t i;

	crypto_generichash_init(&st, NULL, 0, TRACE_DIGEST);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		digest_str(&st, texts[i]);
	crypto_generichash_update(&st, (const unsigned char *)&m->created_at,
	    sizeof(m->created_at));
	crypto_generichash_update(&st, (const unsigned char *)n, sizeof(n));
	crypto_generichash_update(&st, (const unsigned char *)payload, len);
	crypto_generichash_final(&st, out, TRACE_DIGEST);
}

/* Into the window, so that no sender can make buckets in other years. */
static void
set_time(struct tev *e, double asked, double now)
{
	double t = asked;

	e->asked_at = asked;
	if (asked == 0)
		t = now;
	else if (!isfinite(asked) || asked < now - PAST_MAX)
		t = isfinite(asked) || asked < 0 ? now - PAST_MAX : now;
	if (t > now + FUTURE_MAX)
		t = now + FUTURE_MAX;
	e->moved = t != asked;
	e->created_at = floor(t * 1e6) / 1e6;
	e->hour = hour_of(e->created_at);
}

static int
note_time(struct tev *e)
{
	char text[40];

	if (!e->moved || e->asked_at == 0)
		return 0;
	if (isfinite(e->asked_at))
		snprintf(text, sizeof(text), "%.17g", e->asked_at);
	else
		snprintf(text, sizeof(text), "\"%f\"", e->asked_at);
	return payload_prepend(e, "original_created_at", text);
}

struct tev *
tev_new(const struct m_trace_event *m, const char *name, char *payload,
    size_t len, double now)
{
	const char *const texts[TEXTS] = {
		m->trace_id, m->parent_id, m->kind, m->channel_id,
		m->thread_id, m->backend_name, m->model, m->error, m->source
	};
	const char **fields[TEXTS];
	size_t i, n, room = 0;
	struct tev *e;
	char *p;

	for (i = 0; i < TEXTS; i++)
		room += strlen(texts[i]) + 1;
	if ((e = calloc(1, sizeof(*e) + room)) == NULL) {
		free(payload);
		return NULL;
	}
	fields[0] = &e->trace_id;
	fields[1] = &e->parent_id;
	fields[2] = &e->kind;
	fields[3] = &e->channel_id;
	fields[4] = &e->thread_id;
	fields[5] = &e->backend_name;
	fields[6] = &e->model;
	fields[7] = &e->error;
	fields[8] = &e->source;
	for (i = 0, p = e->text; i < TEXTS; i++) {
		n = strlen(texts[i]) + 1;
		memcpy(p, texts[i], n);
		*fields[i] = p;
		p += n;
	}
	strlcpy(e->agent_id, m->agent_id, sizeof(e->agent_id));
	strlcpy(e->agent_name, name, sizeof(e->agent_name));
	if ((e->minted = m->id[0] == '\0'))
		sys_id(e->id);
	else
		strlcpy(e->id, m->id, sizeof(e->id));
	e->duration_ms = m->duration_ms;
	e->tokens_in = m->tokens_in;
	e->tokens_out = m->tokens_out;
	e->cost_pico = m->cost_pico;
	digest(e->digest, m, payload, len);
	set_time(e, m->created_at, now);
	e->payload = payload_normal(payload, len, &len);
	if (e->payload == NULL || note_time(e) == -1) {
		tev_free(e);
		return NULL;
	}
	e->size = sizeof(*e) + room + strlen(e->payload);
	return e;
}

struct tev *
tev_imported(struct m_trace_event *m, const char *name, char *payload,
    size_t len)
{
	static const char prefix[] = "import:";
	char source[17];
	struct tev *e;

	if (strncmp(m->source, prefix, sizeof(prefix) - 1) != 0) {
		(void)snprintf(source, sizeof(source), "%s%s", prefix,
		    m->source);
		m->source = source;
	}
	/* As of then: what is old was checked by who trusts the signer. */
	if ((e = tev_new(m, name, payload, len, m->created_at)) == NULL)
		return NULL;
	/* Whole microseconds as they were, not the ones below. */
	e->created_at = round(m->created_at * 1e6) / 1e6;
	e->hour = hour_of(e->created_at);
	e->moved = false;
	e->imported = true;
	return e;
}

void
tev_free(struct tev *e)
{
	if (e == NULL)
		return;
	free(e->payload);
	free(e);
}

void
tev_conflict(struct tev *e)
{
	struct jbuf b;
	const char *text;

	jbuf_init(&b, 1024);
	jb_str(&b, e->id);
	if ((text = jbuf_text(&b, NULL)) != NULL)
		payload_prepend(e, "conflict_of", text);
	jbuf_free(&b);
	/* From the content: the same event sent again gets the same id. */
	sys_hex(e->id, e->digest, sizeof(e->digest));
}

/* ---- envelope ---- */

void
tev_envelope(const struct tev *e, struct envelope *v)
{
	v->id = e->id;
	v->trace_id = e->trace_id;
	v->parent_id = e->parent_id;
	v->agent_name = e->agent_name;
	v->kind = e->kind;
	v->channel_id = e->channel_id;
	v->thread_id = e->thread_id;
	v->backend_name = e->backend_name;
	v->model = e->model;
	v->error = e->error;
	v->source = e->source;
	v->payload = e->payload;
	v->digest = NULL;
	v->created_at = e->created_at;
	v->duration_ms = e->duration_ms;
	v->tokens_in = e->tokens_in;
	v->tokens_out = e->tokens_out;
	v->cost_pico = e->cost_pico;
}

static void
put_text(struct jbuf *b, const char *key, const char *s)
{
	jb_kstr(b, key, *s == '\0' ? NULL : s);
}

static void
put_count(struct jbuf *b, const char *key, int64_t n)
{
	jb_key(b, key);
	if (n < 0)
		jb_null(b);
	else
		jb_int(b, n);
}

/* 10^-12 dollars as exact dollars: no binary fraction in between. */
static void
put_cost(struct jbuf *b, int64_t pico)
{
	char text[40];
	size_t n;

	jb_key(b, "cost_usd");
	if (pico < 0) {
		jb_null(b);
		return;
	}
	n = (size_t)snprintf(text, sizeof(text), "%lld.%012lld",
	    (long long)(pico / 1000000000000), (long long)(pico %
	    1000000000000));
	while (n > 0 && text[n - 1] == '0' && text[n - 2] != '.')
		n--;
	jb_raw(b, text, n);
}

void
envelope_json(struct jbuf *b, const struct envelope *v)
{
	jb_obj(b);
	jb_kint(b, "v", 1);
	jb_kstr(b, "id", v->id);
	put_text(b, "trace_id", v->trace_id);
	put_text(b, "parent_id", v->parent_id);
	jb_ktime(b, "created_at", llround(v->created_at * 1e6));
	jb_kstr(b, "agent_name", v->agent_name);
	jb_kstr(b, "kind", v->kind);
	put_text(b, "channel_id", v->channel_id);
	put_text(b, "thread_id", v->thread_id);
	put_text(b, "backend_name", v->backend_name);
	put_text(b, "model", v->model);
	put_count(b, "duration_ms", v->duration_ms);
	put_count(b, "tokens_in", v->tokens_in);
	put_count(b, "tokens_out", v->tokens_out);
	put_cost(b, v->cost_pico);
	put_text(b, "error", v->error);
	put_text(b, "source", v->source);
	jb_key(b, "payload");
	jb_raw(b, v->payload, strlen(v->payload));
	if (v->digest != NULL)
		jb_kstr(b, "digest", v->digest);
	jb_end(b);
}
