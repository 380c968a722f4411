/*
 * The session of a command in an agent's container, on our own streams.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 *
 * The streams of the command become ours, its exit status too.  What is wrong
 * on our side is 255, as with ssh.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <json-c/json.h>

#include "ctl.h"
#include "exec_session.h"
#include "http.h"
#include "xframe.h"

#define OUT_MAX		(2 * (XF_MAX + XF_HEAD))

struct session {
	struct ctl	*ctl;
	CURL		*curl;
	curl_socket_t	 fd;
	bool		 tty;
	bool		 eof;		/* of our standard input */
	uint8_t		 in[2 * (XF_MAX + XF_HEAD)];
	size_t		 inlen;
	uint8_t		 out[OUT_MAX];
	size_t		 outlen;
	int		 status;	/* -1: still running */
};

/* ---- the connection ---- */

static int
send_all(struct session *s, const char *p, size_t len)
{
	struct pollfd pfd = { s->fd, POLLOUT, 0 };
	size_t n;
	CURLcode rc;

	while (len > 0) {
		rc = curl_easy_send(s->curl, p, len, &n);
		if (rc == CURLE_AGAIN) {
			(void)poll(&pfd, 1, 10000);
			continue;
		}
		if (rc != CURLE_OK)
			return -1;
		p += n;
		len -= n;
	}
	return 0;
}

/* 1: something came; 0: nothing yet; -1: the end. */
static int
receive(struct session *s)
{
	size_t n;
	CURLcode rc;

	if (s->inlen == sizeof(s->in))
		return 1;
	rc = curl_easy_recv(s->curl, s->in + s->inlen,
	    sizeof(s->in) - s->inlen, &n);
	if (rc == CURLE_AGAIN)
		return 0;
	if (rc != CURLE_OK || n == 0)
		return -1;
	s->inlen += n;
	return 1;
}

static int
wait_in(struct session *s)
{
	struct pollfd pfd = { s->fd, POLLIN, 0 };
	int r;

	while ((r = receive(s)) == 0)
		if (poll(&pfd, 1, 120000) == 0)
			return -1;
	return r;
}

/* An answer that is no 101: its sentence. */
static void
explain(struct session *s, const struct http_head *h)
{
	size_t head = h->len, want = h->content_length > 0 ?
	    (size_t)h->content_length : 0;
	struct json_object *doc;
	const char *text;

	/* The server keeps the connection open after it. */
	while (s->inlen < sizeof(s->in) - 1 && s->inlen - head < want &&
	    wait_in(s) == 1)
		;
	s->in[s->inlen < sizeof(s->in) ? s->inlen : s->inlen - 1] = '\0';
	doc = json_tokener_parse((const char *)s->in + head);
	text = doc != NULL ? jstr(doc, "error") : "";
	if (text[0] != '\0')
		complain("%s", text);
	else
		complain("agentd answers with status %d", h->code);
	if (doc != NULL)
		json_object_put(doc);
}

/* Reads the head of the answer: 0 if the session is open. */
static int
answered(struct session *s)
{
	static char copy[HTTP_MAX_HEAD];
	struct http_head h;
	enum http_result r;
	size_t len;

	do {
		if (wait_in(s) != 1) {
			complain("agentd closed the connection");
			return -1;
		}
		len = s->inlen < sizeof(copy) ? s->inlen : sizeof(copy);
		memcpy(copy, s->in, len);
		http_head_init(&h);
		r = http_rhead_parse(&h, copy, len);
	} while (r == HTTP_MORE);
	if (r == HTTP_BAD) {
		complain("agentd's answer is not HTTP: %s", h.why);
		return -1;
	}
	if (h.code != 101) {
		explain(s, &h);
		return -1;
	}
	s->inlen -= h.len;
	memmove(s->in, s->in + h.len, s->inlen);
	return 0;
}

static int
connect_to(struct session *s, char *url, size_t size)
{
	CURLcode rc;

	(void)snprintf(url, size, "%s", s->ctl->url != NULL ? s->ctl->url :
	    "http://localhost");
	if ((s->curl = curl_easy_init()) == NULL)
		return -1;
	curl_easy_setopt(s->curl, CURLOPT_URL, url);
	curl_easy_setopt(s->curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(s->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT, 10L);
	if (s->ctl->url == NULL)
		curl_easy_setopt(s->curl, CURLOPT_UNIX_SOCKET_PATH,
		    s->ctl->socket);
	if ((rc = curl_easy_perform(s->curl)) != CURLE_OK ||
	    curl_easy_getinfo(s->curl, CURLINFO_ACTIVESOCKET, &s->fd) !=
	    CURLE_OK) {
		complain("cannot reach agentd at %s: %s",
		    s->ctl->url != NULL ? s->ctl->url : s->ctl->socket,
		    curl_easy_strerror(rc));
		return -1;
	}
	return 0;
}

/* "http://host:port/x" -> "host:port" */
static void
host_of(const char *url, char *host, size_t size)
{
	const char *p = strstr(url, "://");

	p = p != NULL ? p + 3 : url;
	(void)snprintf(host, size, "%.*s", (int)strcspn(p, "/"), p);
}

static int
open_session(struct session *s, const char *agent, const char *body)
{
	char url[2048], host[1024], *head = NULL;
	int n, r;

	if (connect_to(s, url, sizeof(url)) == -1)
		return -1;
	host_of(url, host, sizeof(host));
	n = asprintf(&head, "POST /api/agents/%s/exec HTTP/1.1\r\n"
	    "Host: %s\r\n%s%sConnection: Upgrade\r\nUpgrade: %s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    agent, host, s->ctl->token != NULL ? s->ctl->token : "",
	    s->ctl->token != NULL ? "\r\n" : "", XF_PROTO, strlen(body));
	if (n == -1)
		return -1;
	r = send_all(s, head, (size_t)n);
	freezero(head, (size_t)n);
	if (r == -1 || send_all(s, body, strlen(body)) == -1) {
		complain("agentd closed the connection");
		return -1;
	}
	return answered(s);
}

/* ---- the session ---- */

static int
write_all(int fd, const uint8_t *p, size_t len)
{
	struct pollfd pfd = { fd, POLLOUT, 0 };
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n == -1 && errno == EAGAIN)
			(void)poll(&pfd, 1, -1);
		else if (n == -1 && errno != EINTR)
			return -1;
		else if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int
one_frame(struct session *s, const struct xf *f)
{
	uint32_t status;

	switch (f->stream) {
	case XF_STDOUT:
		return write_all(STDOUT_FILENO, f->data, f->len);
	case XF_STDERR:
		return write_all(STDERR_FILENO, f->data, f->len);
	case XF_EXIT:
		if (xf_get_exit(f, &status) == -1)
			return -1;
		s->status = (int)(status & 0xff);
		return 0;
	case XF_ERROR:
		exec_restore();
		complain("%.*s", (int)f->len, (const char *)f->data);
		s->status = EXEC_CUT;
		return 0;
	default:
		return -1;
	}
}

/* -1: it is over without a status. */
static int
take_frames(struct session *s)
{
	struct xf f;
	size_t at = 0;
	ssize_t n;

	while (s->status == -1 &&
	    (n = xf_read(s->in + at, s->inlen - at, &f)) != 0) {
		if (n == -1 || one_frame(s, &f) == -1)
			return -1;
		at += (size_t)n;
	}
	s->inlen -= at;
	memmove(s->in, s->in + at, s->inlen);
	return 0;
}

static void
from_stdin(struct session *s)
{
	uint8_t *p = s->out + s->outlen;
	ssize_t n;

	n = read(STDIN_FILENO, p + XF_HEAD, XF_MAX);
	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		s->eof = true;
		n = 0;
	}
	xf_head(p, XF_STDIN, (size_t)n);
	s->outlen += XF_HEAD + (size_t)n;
}

static int
flush_out(struct session *s)
{
	size_t n;
	CURLcode rc;

	rc = curl_easy_send(s->curl, s->out, s->outlen, &n);
	if (rc == CURLE_AGAIN)
		return 0;
	if (rc != CURLE_OK)
		return -1;
	s->outlen -= n;
	memmove(s->out, s->out + n, s->outlen);
	return 0;
}

static int
turn(struct session *s, const sigset_t *during)
{
	struct pollfd pfd[2] = {
		{ s->fd, (short)(POLLIN | (s->outlen > 0 ? POLLOUT : 0)), 0 },
		{ s->eof || s->outlen > XF_MAX / 2 ? -1 : STDIN_FILENO,
		    POLLIN, 0 },
	};
	unsigned int cols, rows;
	int r;

	if (ppoll(pfd, 2, NULL, during) == -1 && errno != EINTR)
		return -1;
	if (exec_stopped)
		return -1;
	if (exec_resized && s->tty && s->outlen < XF_MAX) {
		exec_resized = 0;
		exec_window(&cols, &rows);
		s->outlen += xf_resize(s->out + s->outlen, cols, rows);
	}
	if (pfd[1].revents != 0)
		from_stdin(s);
	/* What it says last is worth more than what it does not read. */
	if (s->outlen > 0 && flush_out(s) == -1) {
		s->outlen = 0;
		s->eof = true;
	}
	if (pfd[0].revents & (POLLIN | POLLHUP | POLLERR)) {
		while ((r = receive(s)) == 1)
			if (take_frames(s) == -1 || s->status != -1)
				return s->status != -1 ? 0 : -1;
		if (r == -1)
			return -1;
	}
	return 0;
}

static int
talk(struct session *s)
{
	sigset_t during;

	exec_watch(&during);
	if (s->tty && exec_raw() == -1)
		return EXEC_CUT;
	if (take_frames(s) == -1)
		return EXEC_CUT;
	while (s->status == -1)
		if (turn(s, &during) == -1)
			break;
	exec_restore();
	if (s->status == -1 && exec_stopped) {
		(void)signal(exec_stopped, SIG_DFL);
		(void)sigprocmask(SIG_SETMASK, &during, NULL);
		(void)raise(exec_stopped);
	}
	if (s->status == -1)
		complain("the session was cut off");
	return s->status == -1 ? EXEC_CUT : s->status;
}

int
exec_session(struct ctl *ctl, const char *agent, const char *body, bool tty)
{
	struct session *s;
	int ret = EXEC_CUT;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return EXEC_CUT;
	s->ctl = ctl;
	s->tty = tty;
	s->status = -1;
	(void)fflush(stdout);
	if (open_session(s, agent, body) == 0)
		ret = talk(s);
	if (s->curl != NULL)
		curl_easy_cleanup(s->curl);
	free(s);
	return ret;
}
