/*
 * Downloads for agentctl: continued where they broke, checked, never larger
 * than the disk.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: web servers.
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <sodium.h>

#include "ctl.h"
#include "sys.h"

#define SIZE_MAX_GIB	64
#define SPARE		(256LL * 1024 * 1024)	/* left on the disk */
#define TRIES		5
#define STALL_S		60
#define CONNECT_S	20L

struct download {
	CURL		*curl;
	FILE		*f;
	const char	*file;
	curl_off_t	 have;		/* from an earlier try */
	bool		 begun;		/* the first piece has come */
	bool		 full;		/* the disk would be */
	bool		 none;		/* the server answered an error */
	int		 shown;
	char		 error[CURL_ERROR_SIZE];
};

/* ---- the sum ---- */

static int
file_sum(const char *file, char hex[65])
{
	crypto_hash_sha256_state st;
	unsigned char sum[crypto_hash_sha256_BYTES], buf[65536];
	size_t n;
	FILE *f;
	int ret;

	if ((f = fopen(file, "re")) == NULL)
		return -1;
	crypto_hash_sha256_init(&st);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		crypto_hash_sha256_update(&st, buf, n);
	ret = ferror(f) ? -1 : 0;
	fclose(f);
	crypto_hash_sha256_final(&st, sum);
	sys_hex(hex, sum, sizeof(sum));
	return ret;
}

/* ---- one try ---- */

/* The head is there: is there room, and does the server continue? */
static int
begin(struct download *d)
{
	curl_off_t size = -1;
	struct statvfs fs;
	long status = 0;

	d->begun = true;
	curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(d->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
	if (status != 200 && status != 206) {
		d->none = true;
		return -1;
	}
	if (status == 200 && d->have > 0) {
		/* It sends all of it again. */
		d->have = 0;
		if (ftruncate(fileno(d->f), 0) == -1 ||
		    fseeko(d->f, 0, SEEK_SET) == -1)
			return -1;
	}
	if (fstatvfs(fileno(d->f), &fs) == 0 && size > 0 &&
	    (curl_off_t)(fs.f_bavail * fs.f_frsize) - SPARE < size) {
		d->full = true;
		return -1;
	}
	return 0;
}

static size_t
on_data(char *data, size_t one, size_t n, void *arg)
{
	struct download *d = arg;

	if (!d->begun && begin(d) == -1)
		return 0;
	return fwrite(data, one, n, d->f) * one;
}

static int
on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t ultotal,
    curl_off_t ulnow)
{
	struct download *d = arg;
	int percent;

	(void)ultotal;
	(void)ulnow;
	if (total <= 0)
		return 0;
	percent = (int)((now + d->have) * 100 / (total + d->have));
	if (percent != d->shown)
		(void)fprintf(stderr, "\rdownloading %3d %%", percent);
	d->shown = percent;
	return 0;
}

static CURL *
easy(const char *url, char *error)
{
	CURL *c;

	error[0] = '\0';
	if ((c = curl_easy_init()) == NULL)
		return NULL;
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
	return c;
}

static CURLcode
attempt(struct download *d, const char *url)
{
	CURLcode rc;

	d->begun = d->none = false;
	d->shown = -1;
	d->have = 0;
	if (fseeko(d->f, 0, SEEK_END) == 0)
		d->have = ftello(d->f);
	if ((d->curl = easy(url, d->error)) == NULL)
		return CURLE_OUT_OF_MEMORY;
	curl_easy_setopt(d->curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(d->curl, CURLOPT_WRITEDATA, d);
	curl_easy_setopt(d->curl, CURLOPT_MAXFILESIZE_LARGE,
	    (curl_off_t)SIZE_MAX_GIB << 30);
	if (d->have > 0)
		curl_easy_setopt(d->curl, CURLOPT_RESUME_FROM_LARGE, d->have);
	if (isatty(STDERR_FILENO)) {
		curl_easy_setopt(d->curl, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(d->curl, CURLOPT_XFERINFOFUNCTION,
		    on_progress);
		curl_easy_setopt(d->curl, CURLOPT_XFERINFODATA, d);
	}
	rc = curl_easy_perform(d->curl);
	if (rc == CURLE_OK && !d->begun && begin(d) == -1)
		rc = CURLE_WRITE_ERROR;
	if (d->shown != -1)
		(void)fprintf(stderr, "\n");
	if (fflush(d->f) != 0)
		rc = CURLE_WRITE_ERROR;
	return rc;
}

/* ---- the whole ---- */

/* 0: it is here; 1: once more; -1: it cannot be had, and that was said. */
static int
judge(struct download *d, CURLcode rc, const char *url)
{
	long status = 0;

	if (rc == CURLE_OK)
		return 0;
	curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
	if (d->full) {
		complain("%s: there is not room enough for %s", d->file, url);
	} else if (d->none && status == 416 && d->have > 0) {
		/* The part is as long as the whole, or longer. */
		return 0;
	} else if (d->none && status < 500) {
		complain("%s: the server answered %ld", url, status);
	} else if (rc == CURLE_WRITE_ERROR && !d->none) {
		complain("%s: %s", d->file, strerror(errno));
	} else if (rc == CURLE_FILESIZE_EXCEEDED) {
		complain("%s: larger than %d GiB", url, SIZE_MAX_GIB);
	} else {
		complain("%s: %s", url, d->none ? "the server failed" :
		    d->error[0] != '\0' ? d->error : curl_easy_strerror(rc));
		return 1;
	}
	return -1;
}

static int
download(const char *url, const char *part)
{
	struct download d = { .file = part };
	CURLcode rc;
	int i, fd, ret = 1;

	if ((fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
	    0600)) == -1 || (d.f = fdopen(fd, "r+")) == NULL) {
		complain("%s: %s", part, strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	for (i = 0; i < TRIES && ret == 1; i++) {
		if (i > 0)
			(void)sleep(1U << i);
		rc = attempt(&d, url);
		ret = judge(&d, rc, url);
		curl_easy_cleanup(d.curl);
	}
	fclose(d.f);
	return ret == 0 ? 0 : -1;
}

int
fetch(const char *url, const char *sha256, const char *file)
{
	char part[1100], hex[65];

	/* A finished file of that sum is as good as a download. */
	if (file_sum(file, hex) == 0 && strcmp(hex, sha256) == 0)
		return 0;
	(void)snprintf(part, sizeof(part), "%s.part", file);
	if (download(url, part) == -1)
		return -1;
	if (file_sum(part, hex) == -1) {
		complain("%s: %s", part, strerror(errno));
		return -1;
	}
	if (strcmp(hex, sha256) != 0) {
		/* To continue it would never end well. */
		(void)unlink(part);
		complain("%s: its SHA-256 is %s, not %s", url, hex, sha256);
		return -1;
	}
	if (rename(part, file) == -1) {
		complain("%s: %s", file, strerror(errno));
		return -1;
	}
	return 0;
}

struct small {
	char	*buf;
	size_t	 len, size;
};

static size_t
on_small(char *data, size_t one, size_t n, void *arg)
{
	struct small *s = arg;

	n *= one;
	if (n >= s->size - s->len)
		return 0;
	memcpy(s->buf + s->len, data, n);
	s->len += n;
	return n;
}

int
fetch_small(const char *url, char *buf, size_t size)
{
	struct small s = { buf, 0, size };
	char error[CURL_ERROR_SIZE];
	long status = 0;
	CURLcode rc;
	CURL *c;

	if ((c = easy(url, error)) == NULL) {
		complain("out of memory");
		return -1;
	}
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_small);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &s);
	rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	if (rc == CURLE_WRITE_ERROR)
		complain("%s: longer than %zu bytes", url, size);
	else if (rc != CURLE_OK)
		complain("%s: %s", url, error[0] != '\0' ? error :
		    curl_easy_strerror(rc));
	else if (status != 200)
		complain("%s: the server answered %ld", url, status);
	else {
		buf[s.len] = '\0';
		return (int)s.len;
	}
	return -1;
}
