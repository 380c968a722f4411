/*
 * agentctl image: list, import, preload, verify, rm, prune.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front, web servers.
 *
 * Images are downloaded here, by the user who asks, and reach the service as
 * a stream: no worker speaks to a web server for them.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"

#define LIST		SYSCONFDIR "/agentd/images.list"
#define CACHE		LOCALSTATEDIR "/cache/agentd"
#define PATH_LEN	1024
#define LINE_LEN	2048
#define SIG_LEN		4096

static void
image_row(struct table *t, struct json_object *m)
{
	char buf[64];

	table_cell(t, "%s", jstr(m, "alias"));
	table_cell(t, "%s", jstr(m, "version"));
	table_cell(t, "%s", fmt_size(buf, sizeof(buf),
	    jnum(m, "size", 0)));
	table_cell(t, "%s", fmt_time(buf, sizeof(buf),
	    jnum(m, "created_at", 0)));
	table_cell(t, "%.12s", jstr(m, "fingerprint"));
	table_cell(t, "%s%s%s", jstr(m, "trust"),
	    jstr(m, "key_id")[0] != '\0' ? " " : "", jstr(m, "key_id"));
	table_cell(t, "%s", jstr(m, "description"));
}

static const char *const heads[] = {
	"IMAGE", "VERSION", "SIZE", "CREATED", "FINGERPRINT", "TRUST",
	"DESCRIPTION", NULL
};

int
cmd_image_list(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return out_list(ctl, "/api/images", heads, image_row);
}

/* ---- import ---- */

/* Where downloads are kept until they are imported, with a slash. */
static int
cache_dir(char *out, size_t size)
{
	const char *xdg = getenv("XDG_CACHE_HOME");

	if (xdg != NULL && xdg[0] == '/')
		(void)snprintf(out, size, "%s/agentd", xdg);
	else
		(void)strlcpy(out, CACHE, size);
	if (mkdir(out, 0700) == -1 && errno != EEXIST) {
		complain("%s: %s", out, strerror(errno));
		return -1;
	}
	return 0;
}

static bool
is_sum(const char *s)
{
	return s != NULL && strlen(s) == 64 &&
	    strspn(s, "0123456789abcdef") == 64;
}

static int
save_small(const char *file, const char *text, size_t len)
{
	int fd, ret = -1;

	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	if (fd != -1 && write(fd, text, len) == (ssize_t)len)
		ret = 0;
	else
		complain("%s: %s", file, strerror(errno));
	if (fd != -1)
		close(fd);
	return ret;
}

/* From the web: the sum is known before, the signature lies beside it. */
static int
import_url(struct ctl *ctl, const char *alias, const char *url,
    const char *sha256, const struct vouch *v)
{
	char dir[PATH_LEN], file[PATH_LEN + 80], sig[PATH_LEN + 96];
	char address[LINE_LEN + 16], text[SIG_LEN];
	struct vouch with = *v;
	int n, ret;

	if (!is_sum(sha256)) {
		complain("an image from the web needs --sha256 and 64 hex "
		    "digits");
		return CTL_USAGE;
	}
	if (cache_dir(dir, sizeof(dir)) == -1)
		return CTL_FAIL;
	(void)snprintf(file, sizeof(file), "%s/%s.image", dir, sha256);
	(void)snprintf(sig, sizeof(sig), "%s.minisig", file);
	if (v->trust == NULL && v->sig == NULL) {
		/* Before the long download: without it there is no use. */
		(void)snprintf(address, sizeof(address), "%s.minisig", url);
		if ((n = fetch_small(address, text, sizeof(text))) == -1) {
			complain("an image needs its signature; --unsigned "
			    "imports it all the same");
			return CTL_FAIL;
		}
		if (save_small(sig, text, (size_t)n) == -1)
			return CTL_FAIL;
		with.sig = sig;
	}
	if (fetch(url, sha256, file) == -1)
		return CTL_FAIL;
	ret = image_upload(ctl, alias, file, &with);
	if (ret == CTL_OK) {
		(void)unlink(file);
		(void)unlink(sig);
	}
	return ret;
}

static bool
is_url(const char *s)
{
	return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0;
}

int
cmd_image_import(struct ctl *ctl, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "sha256", required_argument, NULL, 's' },
		{ "signature", required_argument, NULL, 'm' },
		{ "unsigned", no_argument, NULL, 'u' },
		{ NULL, 0, NULL, 0 }
	};
	const char *sha256 = NULL;
	struct vouch v = { NULL, NULL };
	int c;

	optind = 0;
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		switch (c) {
		case 's': sha256 = optarg; break;
		case 'm': v.sig = optarg; break;
		case 'u': v.trust = "unsigned"; break;
		default:
			return ctl_usage();
		}
	}
	if (argc + 1 - optind != 2 || (v.sig != NULL && v.trust != NULL))
		return ctl_usage();
	argv += optind - 1;
	if (is_url(argv[1]))
		return import_url(ctl, argv[0], argv[1], sha256, &v);
	return image_upload(ctl, argv[0], argv[1], &v);
}

/* ---- preload: what a list names and is not here yet ---- */

static bool
has_alias(struct json_object *images, const char *alias)
{
	struct json_object *m;
	size_t i;

	for (i = 0; (m = jat(images, i)) != NULL; i++)
		if (strcmp(jstr(m, "alias"), alias) == 0)
			return true;
	return false;
}

/* One line: 0 done or nothing to do, 1 failed, -1 not a line of a list. */
static int
preload_line(struct ctl *ctl, char *line, struct json_object *images)
{
	static const struct vouch v = { NULL, NULL };
	char *alias, *sum, *url, *save = NULL;

	line[strcspn(line, "#\r\n")] = '\0';
	if ((alias = strtok_r(line, " \t", &save)) == NULL)
		return 0;
	sum = strtok_r(NULL, " \t", &save);
	url = strtok_r(NULL, " \t", &save);
	if (!path_segment_ok(alias) || !is_sum(sum) || url == NULL ||
	    !is_url(url) || strtok_r(NULL, " \t", &save) != NULL)
		return -1;
	if (has_alias(images, alias))
		return 0;
	(void)printf("%s: from %s\n", alias, url);
	(void)fflush(stdout);
	return import_url(ctl, alias, url, sum, &v) != CTL_OK;
}

int
cmd_image_preload(struct ctl *ctl, int argc, char **argv)
{
	const char *file = argc > 0 ? argv[0] : LIST;
	char line[LINE_LEN];
	unsigned n = 0, bad = 0;
	struct reply r;
	FILE *f;
	int ret;

	if ((f = fopen(file, "re")) == NULL) {
		complain("%s: %s", file, strerror(errno));
		return CTL_FAIL;
	}
	if (rest_get(ctl, "/api/images", &r) == -1) {
		reply_free(&r);
		fclose(f);
		return CTL_FAIL;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		n++;
		ret = preload_line(ctl, line, r.doc);
		if (ret == -1)
			complain("%s:%u: expected ALIAS SHA256 URL", file, n);
		bad += ret != 0;
	}
	fclose(f);
	reply_free(&r);
	if (bad > 0)
		complain("%u of the images of %s are missing", bad, file);
	return bad == 0 ? CTL_OK : CTL_FAIL;
}

/* ---- verify, rm, prune ---- */

static int
post(struct ctl *ctl, const char *method, const char *path, const char *said)
{
	struct reply r;
	int ret;

	ret = rest_call(ctl, method, path, NULL, NULL, &r);
	if (out_words(ctl, ret, &r))
		(void)printf("%s\n", said);
	return reply_exit(ret, &r);
}

static int
verify(struct ctl *ctl, const char *alias)
{
	char path[PATH_LEN], said[PATH_LEN];

	if (!path_segment_ok(alias)) {
		complain("'%s' is not an alias of an image", alias);
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/images/%s/verify", alias);
	(void)snprintf(said, sizeof(said), "%s: as it came in", alias);
	return post(ctl, "POST", path, said);
}

int
cmd_image_verify(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *m;
	struct reply r;
	int ret = CTL_OK;
	size_t i;

	if (argc > 0)
		return verify(ctl, argv[0]);
	if (rest_get(ctl, "/api/images", &r) == -1)
		ret = CTL_FAIL;
	for (i = 0; ret != CTL_USAGE && (m = jat(r.doc, i)) != NULL; i++)
		if (verify(ctl, jstr(m, "alias")) != CTL_OK)
			ret = CTL_FAIL;
	reply_free(&r);
	return ret;
}

int
cmd_image_rm(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_LEN], said[PATH_LEN];

	(void)argc;
	if (!path_segment_ok(argv[0])) {
		complain("'%s' is not an alias of an image", argv[0]);
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/images/%s", argv[0]);
	(void)snprintf(said, sizeof(said), "%s: deleted", argv[0]);
	return post(ctl, "DELETE", path, said);
}

int
cmd_image_prune(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *m;
	struct reply r;
	char buf[64];
	double sum = 0;
	size_t i;
	int ret;

	(void)argc;
	(void)argv;
	ret = rest_call(ctl, "POST", "/api/images/prune", NULL, NULL, &r);
	if (out_words(ctl, ret, &r)) {
		for (i = 0; (m = jat(r.doc, i)) != NULL; i++) {
			sum += jnum(m, "size", 0);
			(void)printf("%.12s  ", jstr(m, "fingerprint"));
			out_str(jstr(m, "description"));
			(void)putchar('\n');
		}
		(void)printf("%zu images deleted, %s\n", i,
		    fmt_size(buf, sizeof(buf), sum));
	}
	return reply_exit(ret, &r);
}
