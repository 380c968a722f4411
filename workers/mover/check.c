/*
 * Looks at everything in a file before anything of it is used.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: keeper.
 */
#include <sys/utsname.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "in.h"
#include "log.h"
#include "worker.h"

#define SLICE		(1024U * 1024)	/* bytes of a turn of the loop */

static const char *const kinds[] = { "message_in", "message_out", "llm_call",
    "tool_call", "tool_result", "reasoning", "error", "lifecycle", NULL };

void
check_free(struct in *in)
{
	if (in->ev != NULL)
		event_free(in->ev);
	in->ev = NULL;
	lines_free(&in->lines);
	tar_free(in->tar);
	in->tar = NULL;
}

/* What Incus reads first of an image: ours, nothing of it from the file. */
struct tar *
check_tar(const struct in *in, tar_sink sink, void *arg)
{
	char text[512];
	struct tar *t;

	t = tar_new(true, worker_conf()->import_limit, sink, arg);
	(void)snprintf(text, sizeof(text), "architecture: %s\n"
	    "creation_date: %lld\n"
	    "properties:\n"
	    "  description: files of an agent that is imported\n"
	    "  agentd.temp: \"%s.%s\"\n", in->rec.arch,
	    (long long)in->rec.exported_at, worker_conf()->node_id, in->id);
	(void)tar_add(t, "metadata.yaml", text);
	return t;
}

static int
count_only(void *arg, const void *data, size_t len)
{
	(void)arg;
	(void)data;
	(void)len;
	return 0;
}

/* A small section as one text. */
static int
slurp(const struct in *in, enum mf_section s, char **out)
{
	size_t size = (size_t)in->mf.part[s].size, len = 0;
	struct section sec;
	ssize_t n;
	char *p;

	if ((p = malloc(size + 1)) == NULL)
		fatal("section");
	section_init(&sec, in->fd, in->mf.part[s].off);
	while (len < size && (n = section_read(&sec, p + len, size - len)) > 0)
		len += (size_t)n;
	p[len] = '\0';
	*out = p;
	return len == size ? 0 : -1;
}

typedef int (*read_fn)(const char *, size_t, struct record *,
    char why[WHY_LEN]);

static int
check_document(struct in *in, enum mf_section s, read_fn fn,
    char why[WHY_LEN])
{
	char *text;
	int r;

	if ((r = slurp(in, s, &text)) == -1)
		(void)strlcpy(why, "the file cannot be read again", WHY_LEN);
	else
		r = fn(text, in->mf.part[s].size, &in->rec, why);
	free(text);
	return r;
}

static int
check_documents(struct in *in)
{
	struct utsname host;
	char why[WHY_LEN];

	if (record_manifest(in->manifest, in->manifestlen, &in->mf, &in->rec,
	    why) == -1)
		goto bad;
	if (uname(&host) == 0 && strcmp(host.machine, in->rec.arch) != 0) {
		in_refuse(in, 409, "the agent comes from a machine of kind "
		    "%.32s, this one is %.32s: its programs do not run here",
		    in->rec.arch, host.machine);
		return -1;
	}
	if (check_document(in, MF_RECORD, record_agent, why) == 0 &&
	    check_document(in, MF_POLICY, record_policy, why) == 0)
		return 0;
bad:
	in_refuse(in, 422, "%s", why);
	return -1;
}

static bool
kind_ok(const char *kind)
{
	size_t i;

	for (i = 0; kinds[i] != NULL; i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

static int
check_line(struct in *in, const char *line, size_t len)
{
	struct m_trace_event ev;
	struct m_move_message msg;
	struct texts t = { .n = 0 };
	const char *payload;
	char why[WHY_LEN];
	size_t n;
	int r;

	if (in->at == MF_CHAT)
		r = record_message(line, len, &msg, &t, why);
	else
		r = record_event(line, len, &ev, &t, &payload, &n, why);
	if (r == 0 && in->at == MF_TRACE && !kind_ok(ev.kind)) {
		(void)snprintf(why, sizeof(why), "trace: kind is none that is "
		    "known");
		r = -1;
	}
	record_texts_free(&t);
	if (r == -1)
		in_refuse(in, 422, "%s (line %" PRIu64 ")", why, in->rows);
	return r;
}

/* 1: go on, 0: the section is good, -1: refused. */
static int
check_lines(struct in *in)
{
	size_t bytes = 0, len;
	char *line;
	int r = 1;

	while (bytes < SLICE &&
	    (r = lines_next(&in->lines, &line, &len)) == 1) {
		in->rows++;
		bytes += len + 1;
		if (check_line(in, line, len) == -1)
			return -1;
	}
	if (r == -1)
		in_refuse(in, 422, "section %s: line %" PRIu64 " is too long "
		    "or cut off", mf_name(in->at), in->rows + 1);
	else if (r == 0 && in->rows != in->rec.rows[in->at]) {
		in_refuse(in, 422, "section %s has %" PRIu64 " lines, the "
		    "manifest says %" PRIu64, mf_name(in->at), in->rows,
		    in->rec.rows[in->at]);
		r = -1;
	}
	return r;
}

static int
check_files(struct in *in)
{
	static char buf[65536];
	size_t bytes = 0;
	ssize_t n = 0;

	while (bytes < SLICE &&
	    (n = section_read(&in->sec, buf, sizeof(buf))) > 0) {
		bytes += (size_t)n;
		if (tar_feed(in->tar, buf, (size_t)n) == -1)
			break;
	}
	if (n == -1)
		in_refuse(in, 507, "the file cannot be read again");
	else if (n == 0 && tar_end(in->tar) == 0) {
		in->image_size = tar_written(in->tar);
		if (tar_members(in->tar) == in->rec.rows[MF_ROOTFS])
			return 0;
		in_refuse(in, 422, "section rootfs has %" PRIu64 " files, the "
		    "manifest says %" PRIu64, tar_members(in->tar),
		    in->rec.rows[MF_ROOTFS]);
	} else if (tar_why(in->tar)[0] != '\0')
		in_refuse(in, 422, "section rootfs: %s", tar_why(in->tar));
	else
		return 1;
	return -1;
}

static void
all_good(struct in *in)
{
	const struct record *r = &in->rec;
	struct m_move_record m = {
		.agent_id = r->agent_id, .owner = r->owner, .slug = r->slug,
		.display_name = r->display_name, .framework = r->framework,
		.model = r->model, .fallbacks = r->fallbacks,
		.emoji = r->emoji, .color = r->color, .network = r->network,
		.domains = r->domains,
		.snapshots = r->snapshots, .server = r->server,
		.channel_id = r->channel_id, .memory = (uint64_t)r->memory,
		.cpus = (uint32_t)r->cpus, .disk = (uint64_t)r->disk,
		.processes = (uint32_t)r->processes,
		.idle = (uint32_t)r->idle, .created_at = r->created_at,
		.messages = r->rows[MF_CHAT], .events = r->rows[MF_TRACE],
		.image_size = in->image_size,
	};

	in->stage = IN_READY;
	if (peer_reply_id(worker_peer(PROC_KEEPER), in->pending,
	    MSG_MOVE_RECORD, false, &m, -1) == -1)
		log_warn("answer to keeper");
	in->pending = 0;
	check_free(in);
}

/* Makes the section at hand ready to be read. */
static void
open_section(struct in *in)
{
	uint64_t off = in->mf.part[in->at].off;

	in->rows = 0;
	lines_free(&in->lines);
	if (in->at == MF_ROOTFS) {
		section_init(&in->sec, in->fd, off);
		in->tar = check_tar(in, count_only, NULL);
	} else {
		lines_init(&in->lines, in->fd, off);
	}
}

static void
on_slice(evutil_socket_t fd, short what, void *arg)
{
	struct in *in = arg;
	int r;

	(void)fd;
	(void)what;
	r = in->at == MF_ROOTFS ? check_files(in) : check_lines(in);
	if (r == -1) {
		check_free(in);
		return;
	}
	if (r == 0 && in->at == MF_ROOTFS) {
		all_good(in);
		return;
	}
	if (r == 0) {
		in->at++;
		open_section(in);
	}
	event_active(in->ev, EV_TIMEOUT, 0);
}

void
check_start(struct in *in)
{
	in->stage = IN_CHECK;
	if (check_documents(in) == -1)
		return;
	if ((in->ev = evtimer_new(worker_base(), on_slice, in)) == NULL)
		fatal("event");
	in->at = MF_CHAT;
	open_section(in);
	event_active(in->ev, EV_TIMEOUT, 0);
}
