/*
 * Files that agentctl sends and gets.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rest.h"

#define LONG_S		14400L
#define SILENCE_S	180L		/* of a download */

/* ---- uploads ---- */

static int
on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow,
    curl_off_t total, curl_off_t now)
{
	int *shown = arg, percent;

	(void)dltotal;
	(void)dlnow;
	percent = total > 0 ? (int)(now * 100 / total) : 0;
	if (percent == *shown)
		return 0;
	*shown = percent;
	(void)fprintf(stderr, "\ruploading %3d %%%s", percent,
	    percent == 100 ? ", importing (a few seconds)" : "");
	return 0;
}

static CURLcode
upload(struct ctl *ctl, const char *method, const char *path,
    const char *const *headers, FILE *f, off_t size, struct reply *r, char *why)
{
	struct transfer t;
	int shown = -1;
	CURLcode rc;

	transfer_open(&t, ctl, path);
	curl_easy_setopt(t.curl, CURLOPT_TIMEOUT, LONG_S);
	curl_easy_setopt(t.curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(t.curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(t.curl, CURLOPT_READDATA, f);
	curl_easy_setopt(t.curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	curl_easy_setopt(t.curl, CURLOPT_WRITEFUNCTION, rest_body);
	curl_easy_setopt(t.curl, CURLOPT_WRITEDATA, r);
	if (isatty(STDERR_FILENO)) {
		curl_easy_setopt(t.curl, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(t.curl, CURLOPT_XFERINFOFUNCTION,
		    on_progress);
		curl_easy_setopt(t.curl, CURLOPT_XFERINFODATA, &shown);
	}
	transfer_header(&t, "Content-Type: application/octet-stream");
	for (; headers != NULL && *headers != NULL; headers++)
		transfer_header(&t, *headers);
	rc = transfer_run(&t);
	if (shown != -1)
		(void)fprintf(stderr, "\n");
	if (rc == CURLE_OK)
		curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &r->status);
	(void)strlcpy(why, t.error, CURL_ERROR_SIZE);
	transfer_close(&t);
	return rc;
}

int
rest_upload(struct ctl *ctl, const char *method, const char *path,
    const char *const *headers, const char *file, struct reply *r)
{
	char why[CURL_ERROR_SIZE];
	struct stat st;
	CURLcode rc;
	FILE *f;

	memset(r, 0, sizeof(*r));
	if ((f = fopen(file, "re")) == NULL || fstat(fileno(f), &st) == -1) {
		complain("%s: %s", file, strerror(errno));
		if (f != NULL)
			fclose(f);
		return -1;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		complain("%s: not a file with something in it", file);
		fclose(f);
		return -1;
	}
	rc = upload(ctl, method, path, headers, f, st.st_size, r, why);
	fclose(f);
	reply_parse(r);
	if (rc != CURLE_OK) {
		rest_unreachable(ctl, rc, why);
		return -1;
	}
	if (r->status < 200 || r->status > 299 || r->doc == NULL) {
		rest_refused(ctl, r);
		return -1;
	}
	return 0;
}

/* ---- downloads ---- */

struct download {
	CURL *curl;
	int (*data)(void *, const void *, size_t);
	void *arg;
	curl_off_t got, shown;
	bool tty;
	bool stopped;		/* by data() */
	struct reply reply;	/* of a refusal */
};

static size_t
on_file(char *p, size_t size, size_t n, void *arg)
{
	struct download *d = arg;
	long status = 0;
	char text[32];

	curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return rest_body(p, size, n, &d->reply);
	n *= size;
	if (d->data(d->arg, p, n) == -1) {
		d->stopped = true;
		return 0;
	}
	d->got += (curl_off_t)n;
	if (d->tty && d->got - d->shown >= 1 << 20) {
		d->shown = d->got;
		(void)fprintf(stderr, "\r%s received   ", fmt_size(text,
		    sizeof(text), (double)d->got));
	}
	return n;
}

int
rest_download(struct ctl *ctl, const char *path,
    int (*data)(void *, const void *, size_t), void *arg)
{
	struct download d = { .data = data, .arg = arg };
	struct transfer t;
	char text[32];
	CURLcode rc;
	int ret = -1;

	transfer_open(&t, ctl, path);
	d.curl = t.curl;
	d.tty = isatty(STDERR_FILENO) != 0;
	curl_easy_setopt(t.curl, CURLOPT_TIMEOUT, LONG_S);
	curl_easy_setopt(t.curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(t.curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
	curl_easy_setopt(t.curl, CURLOPT_WRITEFUNCTION, on_file);
	curl_easy_setopt(t.curl, CURLOPT_WRITEDATA, &d);
	rc = transfer_run(&t);
	if (d.shown > 0)
		(void)fprintf(stderr, "\n");
	if (rc == CURLE_OK)
		curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE,
		    &d.reply.status);
	if (rc == CURLE_OK && d.reply.status == 200)
		ret = 0;
	else if (rc == CURLE_OK) {
		reply_parse(&d.reply);
		rest_refused(ctl, &d.reply);
	} else if (d.stopped)
		;		/* who stopped it has said why */
	else if (d.got > 0)
		complain("the file was cut off after %s (%lld bytes): %s",
		    fmt_size(text, sizeof(text), (double)d.got),
		    (long long)d.got, t.error[0] != '\0' ? t.error :
		    curl_easy_strerror(rc));
	else
		rest_unreachable(ctl, rc, t.error);
	transfer_close(&t);
	reply_free(&d.reply);
	return ret;
}
