/*
 * The HTTP side of agentctl: requests, uploads and event streams.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <json-c/json.h>

#include "ctl.h"
#include "rest.h"
#include "sse.h"

#define BODY_MAX	(64UL << 20)
#define TIMEOUT_S	120L
#define SILENCE_S	60L		/* of a stream; ticks come every 15 s */
#define EVENT_MAX	(8UL << 20)
#define TRIES		6		/* while a worker is being restarted */
#define PAUSE_MS	500
#define JSON_DEPTH	64

static const char base_url[] = "http://localhost";


void
rest_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		errx(CTL_FAIL, "libcurl does not start");
}

void
reply_free(struct reply *r)
{
	free(r->body);
	if (r->doc != NULL)
		json_object_put(r->doc);
	memset(r, 0, sizeof(*r));
}

size_t
rest_body(char *p, size_t size, size_t n, void *arg)
{
	struct reply *r = arg;
	char *body;

	n *= size;
	if (n > BODY_MAX - r->len)
		return 0;
	if ((body = realloc(r->body, r->len + n + 1)) == NULL)
		return 0;
	memcpy(body + r->len, p, n);
	r->body = body;
	r->len += n;
	body[r->len] = '\0';
	return n;
}

void
transfer_header(struct transfer *t, const char *line)
{
	struct curl_slist *l = curl_slist_append(t->headers, line);

	if (l == NULL)
		errx(CTL_FAIL, "out of memory");
	t->headers = l;
}

/* A handle for one request; never follows a redirect, ignores proxies. */
void
transfer_open(struct transfer *t, const struct ctl *ctl, const char *path)
{
	char url[4096];
	int n;

	memset(t, 0, sizeof(*t));
	if ((t->curl = curl_easy_init()) == NULL)
		errx(CTL_FAIL, "out of memory");
	n = snprintf(url, sizeof(url), "%s%s",
	    ctl->url != NULL ? ctl->url : base_url, path);
	if (n < 0 || (size_t)n >= sizeof(url))
		errx(CTL_USAGE, "the request is too long");
	curl_easy_setopt(t->curl, CURLOPT_URL, url);
	if (ctl->url == NULL)
		curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH,
		    ctl->socket);
	curl_easy_setopt(t->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(t->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	/* No 100-continue: front answers at once what it does not take. */
	transfer_header(t, "Expect:");
	if (ctl->token != NULL)
		transfer_header(t, ctl->token);
}

CURLcode
transfer_run(struct transfer *t)
{
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
	return curl_easy_perform(t->curl);
}

void
transfer_close(struct transfer *t)
{
	curl_slist_free_all(t->headers);
	curl_easy_cleanup(t->curl);
}

void
reply_parse(struct reply *r)
{
	struct json_tokener *tok;

	if (r->body == NULL || r->len > INT32_MAX ||
	    (tok = json_tokener_new_ex(JSON_DEPTH)) == NULL)
		return;
	r->doc = json_tokener_parse_ex(tok, r->body, (int)r->len);
	json_tokener_free(tok);
}

void
rest_unreachable(const struct ctl *ctl, CURLcode rc, const char *why)
{
	if (ctl->url != NULL) {
		complain("cannot reach agentd at %s: %s", ctl->url,
		    why[0] != '\0' ? why : curl_easy_strerror(rc));
		return;
	}
	if (rc == CURLE_COULDNT_CONNECT && access(ctl->socket, W_OK) == -1)
		why = strerror(errno);
	else if (rc == CURLE_COULDNT_CONNECT)
		why = "nothing listens there";
	else if (why[0] == '\0')
		why = curl_easy_strerror(rc);
	complain("cannot reach agentd at %s: %s", ctl->socket, why);
	if (rc == CURLE_COULDNT_CONNECT)
		complain("is the service running? try: %s",
		    access("/run/systemd/system", F_OK) == 0 ?
		    "systemctl start agentd" : "/etc/init.d/agentd start");
}

/* The API's own sentence, or what there is of it. */
void
rest_refused(struct ctl *ctl, const struct reply *r)
{
	const char *text = r->doc != NULL ? jstr(r->doc, "error") : "";

	if (ctl->json && r->body != NULL)
		out_json(r);
	if (text[0] == '\0')
		complain("agentd answers with status %ld", r->status);
	else
		complain("%s", text);
	if (r->status == 401)
		complain(ctl->token != NULL ? "the token is wrong" :
		    "with --url a token is needed: --token-file, as a rule "
		    LOCALSTATEDIR "/lib/agentd/.auth_local_token");
	else if (r->status == 403)
		complain("root and members of the admin group may do this");
}

static CURLcode
perform(struct ctl *ctl, const char *method, const char *path,
    const char *body, const char *key, struct reply *r, char *why)
{
	struct transfer t;
	char line[160];
	CURLcode rc;

	memset(r, 0, sizeof(*r));
	transfer_open(&t, ctl, path);
	curl_easy_setopt(t.curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(t.curl, CURLOPT_WRITEFUNCTION, rest_body);
	curl_easy_setopt(t.curl, CURLOPT_WRITEDATA, r);
	if (body != NULL) {
		transfer_header(&t, "Content-Type: application/json");
		curl_easy_setopt(t.curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(t.curl, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)strlen(body));
	}
	if (key != NULL) {
		(void)snprintf(line, sizeof(line), "Idempotency-Key: %s",
		    key);
		transfer_header(&t, line);
	}
	rc = transfer_run(&t);
	if (rc == CURLE_OK)
		curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &r->status);
	(void)strlcpy(why, t.error, CURL_ERROR_SIZE);
	transfer_close(&t);
	reply_parse(r);
	return rc;
}

static void
pause_ms(long ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* What has no second effect is tried again while a worker restarts. */
int
rest_call(struct ctl *ctl, const char *method, const char *path,
    const char *body, const char *key, struct reply *r)
{
	char why[CURL_ERROR_SIZE];
	bool safe = strcmp(method, "GET") == 0 || key != NULL;
	CURLcode rc;
	int i;

	for (i = 1;; i++) {
		rc = perform(ctl, method, path, body, key, r, why);
		if (!safe || i == TRIES || rc == CURLE_COULDNT_CONNECT ||
		    (rc == CURLE_OK && r->status != 503))
			break;
		reply_free(r);
		pause_ms(PAUSE_MS);
	}
	if (rc != CURLE_OK) {
		rest_unreachable(ctl, rc, why);
		return -1;
	}
	if (r->status < 200 || r->status > 299) {
		rest_refused(ctl, r);
		return -1;
	}
	if (r->doc == NULL) {
		complain("agentd's answer is no JSON");
		return -1;
	}
	return 0;
}

int
rest_get(struct ctl *ctl, const char *path, struct reply *r)
{
	return rest_call(ctl, "GET", path, NULL, NULL, r);
}

long
rest_try(struct ctl *ctl, const char *path, struct reply *r)
{
	char why[CURL_ERROR_SIZE];

	return perform(ctl, "GET", path, NULL, NULL, r, why) == CURLE_OK ?
	    r->status : 0;
}

struct json_object *
rest_unix(const char *socket, const char *path)
{
	struct ctl other = { .socket = socket };
	struct json_object *doc = NULL;
	struct reply r;

	if (rest_try(&other, path, &r) == 200) {
		doc = r.doc;
		r.doc = NULL;
	}
	reply_free(&r);
	return doc;
}

/* ---- event streams ---- */

struct streaming {
	struct stream *s;
	struct sse sse;
	CURL *curl;
	bool opened;
	bool ended;		/* by a callback */
	struct reply reply;	/* of a refusal */
};

static size_t
stream_header(char *p, size_t size, size_t n, void *arg)
{
	struct streaming *st = arg;
	long status = 0;

	n *= size;
	/* The empty line: all of the head is here. */
	if (n != 2 || memcmp(p, "\r\n", 2) != 0)
		return n;
	curl_easy_getinfo(st->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return n;
	st->opened = true;
	if (st->s->opened != NULL && st->s->opened(st->s->arg) != 0) {
		st->ended = true;
		return 0;
	}
	return n;
}

static int
stream_event(void *arg, const struct sse_event *ev)
{
	struct streaming *st = arg;
	const char *errstr;
	long long id;

	id = strtonum(ev->id, 1, INT64_MAX, &errstr);
	if (errstr == NULL)
		st->s->last_id = (uint64_t)id;
	if (st->s->event(st->s->arg, ev) != 0) {
		st->ended = true;
		return -1;
	}
	return 0;
}

static size_t
stream_body(char *p, size_t size, size_t n, void *arg)
{
	struct streaming *st = arg;

	if (!st->opened)
		return rest_body(p, size, n, &st->reply);
	return sse_feed(&st->sse, p, size * n) == 0 ? size * n : 0;
}

enum stream_end
rest_stream(struct ctl *ctl, const char *path, struct stream *s)
{
	struct streaming st = { .s = s };
	struct transfer t;
	enum stream_end end = STREAM_LOST;
	char line[64];
	CURLcode rc;

	transfer_open(&t, ctl, path);
	st.curl = t.curl;
	sse_init(&st.sse, EVENT_MAX, stream_event, &st);
	transfer_header(&t, "Accept: text/event-stream");
	if (s->last_id != 0) {
		(void)snprintf(line, sizeof(line), "Last-Event-ID: %llu",
		    (unsigned long long)s->last_id);
		transfer_header(&t, line);
	}
	curl_easy_setopt(t.curl, CURLOPT_TIMEOUT, 0L);
	curl_easy_setopt(t.curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(t.curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
	curl_easy_setopt(t.curl, CURLOPT_HEADERFUNCTION, stream_header);
	curl_easy_setopt(t.curl, CURLOPT_HEADERDATA, &st);
	curl_easy_setopt(t.curl, CURLOPT_WRITEFUNCTION, stream_body);
	curl_easy_setopt(t.curl, CURLOPT_WRITEDATA, &st);
	rc = transfer_run(&t);
	if (st.ended)
		end = STREAM_ENDED;
	else if (!st.opened && rc == CURLE_OK) {
		curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE,
		    &st.reply.status);
		reply_parse(&st.reply);
		if (st.reply.status != 503)
			end = STREAM_REFUSED;
		if (end == STREAM_REFUSED && !s->quiet)
			rest_refused(ctl, &st.reply);
	} else if (!st.opened) {
		end = STREAM_REFUSED;
		if (!s->quiet)
			rest_unreachable(ctl, rc, t.error);
	}
	transfer_close(&t);
	sse_free(&st.sse);
	reply_free(&st.reply);
	return end;
}

/* ---- paths ---- */

int
path_query(char *path, size_t size, const char *key, const char *value)
{
	char *text;
	size_t len = strlen(path);
	int n;

	if ((text = curl_easy_escape(NULL, value, 0)) == NULL)
		errx(CTL_FAIL, "out of memory");
	n = snprintf(path + len, size - len, "%c%s=%s",
	    strchr(path, '?') == NULL ? '?' : '&', key, text);
	curl_free(text);
	return n >= 0 && (size_t)n < size - len ? 0 : -1;
}

bool
path_segment_ok(const char *s)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:";

	return s[0] != '\0' && s[0] != '.' && strlen(s) <= 128 &&
	    s[strspn(s, good)] == '\0';
}
