/*
 * The .jsonl beside a bucket: for events that SQLite could not take.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: nobody.
 *
 * One envelope a line, its digest as the last member.  A line is whole or
 * cut off again; what a crash tore is skipped by the reader.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jscan.h"
#include "log.h"
#include "sys.h"
#include "trace.h"

#define FILE_MAX	(16 * 1024 * 1024)	/* an hour and agent */
#define LINE_DEPTH	80
/* ,"digest":"..."} at the end of each line */
#define TAIL_LEN	(11 + 2 * TRACE_DIGEST + 2)

static int
open_file(const char *agent_id, int64_t hour, bool make)
{
	char name[HOUR_NAME], file[HOUR_NAME + 8];
	int dir, fd;

	if ((dir = bucket_dir(agent_id, make)) == -1)
		return -1;
	bucket_name(name, hour);
	snprintf(file, sizeof(file), "%s.jsonl", name);
	fd = openat(dir, file, (make ? O_RDWR | O_CREAT : O_RDONLY) |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
	/* The name must be on the disk before the event is acknowledged. */
	if (fd != -1 && make && fsync(dir) == -1) {
		close(fd);
		fd = -1;
	}
	close(dir);
	return fd;
}

/* ---- writing ---- */

static int
write_all(int fd, const char *p, size_t len, off_t at)
{
	ssize_t n;

	while (len > 0) {
		n = pwrite(fd, p, len, at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Writes the line at that place; returns where the next one goes, or -1. */
static off_t
write_line(int fd, const struct tev *e, off_t at)
{
	char hex[2 * TRACE_DIGEST + 1];
	struct envelope v;
	struct jbuf b;
	const char *text;
	size_t len;

	tev_envelope(e, &v);
	sys_hex(hex, e->digest, TRACE_DIGEST);
	v.digest = hex;
	jbuf_init(&b, TRACE_JSON_MAX);
	envelope_json(&b, &v);
	text = jbuf_text(&b, &len);
	if (text == NULL || at + (off_t)len + 1 > FILE_MAX) {
		errno = ENOSPC;
		at = -1;
	} else if (write_all(fd, text, len, at) == -1 ||
	    write_all(fd, "\n", 1, at + (off_t)len) == -1) {
		at = -1;
	} else {
		at += (off_t)len + 1;
	}
	jbuf_free(&b);
	return at;
}

/* The end of the file, behind a line that a crash has torn. */
static off_t
end_of(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);
	char c;

	if (end <= 0)
		return end;
	if (pread(fd, &c, 1, end - 1) != 1)
		return -1;
	if (c != '\n' && write_all(fd, "\n", 1, end++) == -1)
		return -1;
	return end;
}

int
fallback_write(struct tev *const *list, size_t n, int64_t *pos)
{
	off_t start, at;
	size_t i;
	int fd;

	fd = open_file(list[0]->agent_id, list[0]->hour, true);
	if (fd == -1 || (start = end_of(fd)) == -1)
		goto fail;
	for (i = 0, at = start; i < n && at != -1; i++) {
		pos[i] = at;
		at = write_line(fd, list[i], at);
	}
	if (at == -1 || fsync(fd) == -1) {
		/* None of them is acknowledged, so none may stay. */
		if (ftruncate(fd, start) == -1)
			log_warn("agent %s: fallback", list[0]->agent_id);
		goto fail;
	}
	close(fd);
	log_warnx("agent %s: %zu events went into the fallback",
	    list[0]->agent_id, n);
	return 0;
fail:
	log_warn("agent %s: fallback cannot be written", list[0]->agent_id);
	if (fd != -1)
		close(fd);
	return -1;
}

/* ---- reading ---- */

/* The whole file, NUL-terminated; to be freed. */
static char *
slurp(const char *agent_id, int64_t hour, size_t *len)
{
	struct stat st;
	ssize_t n;
	char *buf;
	int fd;

	if ((fd = open_file(agent_id, hour, false)) == -1)
		return NULL;
	if (fstat(fd, &st) == -1 || st.st_size > FILE_MAX ||
	    (buf = malloc((size_t)st.st_size + 1)) == NULL) {
		close(fd);
		return NULL;
	}
	*len = 0;
	while (*len < (size_t)st.st_size && (n = pread(fd, buf + *len,
	    (size_t)st.st_size - *len, (off_t)*len)) > 0)
		*len += (size_t)n;
	buf[*len] = '\0';
	close(fd);
	return buf;
}

static bool
member_is(const char *line, size_t len, const char *key, const char *want)
{
	struct jspan v;

	return *want == '\0' || (jscan_get(line, len, key, &v) == 1 &&
	    v.type == JT_STRING && jscan_string_eq(&v, want));
}

static bool
line_matches(const char *line, size_t len, const struct filter *f,
    struct ref *ref, char id[65])
{
	char number[40], hex[2 * TRACE_DIGEST + 1];
	struct jspan v;

	if (jscan_buf(line, len, LINE_DEPTH, 0, NULL, NULL, NULL) == -1 ||
	    jscan_get(line, len, "created_at", &v) != 1 ||
	    v.type != JT_NUMBER || v.len >= sizeof(number))
		return false;
	memcpy(number, v.p, v.len);
	number[v.len] = '\0';
	ref->created_at = strtod(number, NULL);
	if (jscan_get(line, len, "id", &v) != 1 ||
	    jscan_unescape(&v, id, 65) == -1)
		return false;
	if (jscan_get(line, len, "digest", &v) != 1 || jscan_unescape(&v, hex,
	    sizeof(hex)) == -1 || sys_unhex(ref->digest, TRACE_DIGEST,
	    hex) == -1)
		return false;
	return ref->created_at >= f->since && ref->created_at <= f->until &&
	    member_is(line, len, "kind", f->kind) &&
	    member_is(line, len, "trace_id", f->trace_id) &&
	    member_is(line, len, "channel_id", f->channel_id);
}

int
fallback_scan(const char *agent_id, int64_t hour, const struct filter *f,
    int (*fn)(void *, const struct ref *, const char *), void *arg)
{
	char *buf, *line, *end, id[65];
	struct ref ref;
	size_t len;
	int r = 0;

	if ((buf = slurp(agent_id, hour, &len)) == NULL)
		return errno == ENOENT ? 0 : -1;
	memset(&ref, 0, sizeof(ref));
	ref.hour = hour;
	ref.fallback = true;
	for (line = buf; r == 0 && (end = memchr(line, '\n', len - (size_t)
	    (line - buf))) != NULL; line = end + 1) {
		ref.pos = line - buf;
		if (line_matches(line, (size_t)(end - line), f, &ref, id))
			r = fn(arg, &ref, id);
	}
	free(buf);
	return r;
}

/* The line at that place, without its end; to be freed. */
static char *
read_line(int fd, off_t at, size_t *len)
{
	char *buf = NULL, *p, *end = NULL;
	size_t size = 0, have = 0;
	ssize_t n;

	do {
		size = size == 0 ? 8192 : size * 2;
		if (size > 2 * TRACE_JSON_MAX ||
		    (p = realloc(buf, size)) == NULL)
			break;
		buf = p;
		n = pread(fd, buf + have, size - have, at + (off_t)have);
		if (n <= 0)
			break;
		have += (size_t)n;
		end = memchr(buf, '\n', have);
	} while (end == NULL);
	if (end == NULL) {
		free(buf);
		return NULL;
	}
	*len = (size_t)(end - buf);
	return buf;
}

int
fallback_read(const char *agent_id, int64_t hour, int64_t pos,
    struct jbuf *b)
{
	char *line;
	size_t len;
	int fd, r = -1;

	if ((fd = open_file(agent_id, hour, false)) == -1)
		return -1;
	line = read_line(fd, (off_t)pos, &len);
	close(fd);
	if (line == NULL)
		return -1;
	/* The digest is for us, not for readers. */
	if (len > TAIL_LEN && strncmp(line + len - TAIL_LEN,
	    ",\"digest\":\"", 11) == 0) {
		line[len - TAIL_LEN] = '}';
		jb_raw(b, line, len - TAIL_LEN + 1);
		r = 0;
	}
	free(line);
	return r;
}
