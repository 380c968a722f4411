/*
 * What the tests of the trace worker share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "log.h"
#include "trace_util.h"

struct rows rows;
struct event_base *base;
char state_dir[64];
unsigned int last_status;
char last_id[65];
size_t acks;

/* ---- in the place of out.c ---- */

bool
out_room(void)
{
	return !rows.full;
}

int
out_row(uint64_t id, const char *event, const char *json, size_t len)
{
	if (rows.full || rows.n == ROWS)
		return -1;
	assert_int_equal(strlen(json), len);
	rows.id[rows.n] = id;
	strlcpy(rows.event[rows.n], event, sizeof(rows.event[0]));
	rows.json[rows.n++] = strdup(json);
	return 0;
}

void
out_end(uint64_t id, unsigned int status, const char *error)
{
	(void)id;
	rows.ends++;
	rows.status = status;
	strlcpy(rows.error, error == NULL ? "" : error, sizeof(rows.error));
}

void
out_doc(uint64_t id, unsigned int status, const char *json)
{
	(void)json;
	out_end(id, status, NULL);
}

void
rows_clear(void)
{
	while (rows.n > 0)
		free(rows.json[--rows.n]);
	memset(&rows, 0, sizeof(rows));
}

/* ---- a state directory ---- */

int
trace_setup(void **state)
{
	(void)state;
	log_init("test", LOG_L_ERROR, 0);
	strlcpy(state_dir, "/tmp/test_trace.XXXXXX", sizeof(state_dir));
	if (mkdtemp(state_dir) == NULL || (base = event_base_new()) == NULL)
		return -1;
	bucket_init(state_dir);
	agents_init(state_dir);
	store_init(base);
	query_init(base);
	acks = 0;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

int
trace_teardown(void **state)
{
	(void)state;
	query_cancel_all();
	store_close();
	bucket_close_all();
	agents_close();
	rows_clear();
	event_base_free(base);
	return nftw(state_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- events ---- */

void
event_init(struct m_trace_event *m)
{
	memset(m, 0, sizeof(*m));
	m->agent_id = AGENT;
	m->id = "";
	m->trace_id = "turn";
	m->parent_id = "";
	m->kind = "message_in";
	m->channel_id = "channel";
	m->thread_id = "";
	m->backend_name = "";
	m->model = "";
	m->duration_ms = m->tokens_in = m->tokens_out = m->cost_pico = -1;
	m->error = "";
	m->source = "keeper";
	m->payload = "";
}

static void
on_done(const struct tev *e, unsigned int status, const char *error)
{
	(void)error;
	acks++;
	last_status = status;
	strlcpy(last_id, e->id, sizeof(last_id));
}

void
add(const struct m_trace_event *m, const char *payload, double now)
{
	struct tev *e;

	assert_null(tev_check(m));
	e = tev_new(m, "bob", strdup(payload), strlen(payload), now);
	assert_non_null(e);
	e->done = on_done;
	assert_int_equal(store_add(e), 0);
}

unsigned int
put(const struct m_trace_event *m, const char *payload, double now)
{
	add(m, payload, now);
	store_flush();
	return last_status;
}

/* ---- queries ---- */

void
filter_init(struct filter *f)
{
	memset(f, 0, sizeof(*f));
	f->kind = f->channel_id = f->trace_id = "";
}

void
turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

size_t
ask(const struct filter *f, unsigned int limit)
{
	struct filter all;
	int i;

	if (f == NULL) {
		filter_init(&all);
		f = &all;
	}
	rows_clear();
	assert_null(query_start(1, "root", AGENT, f, limit, false));
	for (i = 0; i < 10000 && rows.ends == 0; i++)
		turn();
	assert_int_equal(rows.ends, 1);
	assert_int_equal(rows.status, 200);
	return rows.n;
}

bool
row_has(size_t i, const char *text)
{
	return i < rows.n && strstr(rows.json[i], text) != NULL;
}

/* ---- files ---- */

bool
exists(const char *agent, const char *file)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s/%s", state_dir, agent, file);
	return lstat(path, &st) == 0;
}

size_t
count_files(const char *agent)
{
	char path[256];
	struct dirent *d;
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", state_dir, agent);
	if ((dir = opendir(path)) == NULL)
		return 0;
	while ((d = readdir(dir)) != NULL)
		n += strstr(d->d_name, ".db") != NULL &&
		    strstr(d->d_name, "-wal") == NULL;
	closedir(dir);
	return n;
}
