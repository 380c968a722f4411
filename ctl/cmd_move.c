/*
 * agentctl agent export, agent import.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 *
 * An export is written beside its place and gets its name when all of it has
 * come, its framing and digests are right, and it is on the disk.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"
#include "movefile.h"

#define FILE_LEN	4096
#define PATH_LEN	2048

struct file {
	const char *name;
	char part[FILE_LEN];
	int fd;
	struct mf mf;
	crypto_hash_sha256_state sha;
};

static int
on_data(void *arg, const void *data, size_t len)
{
	struct file *f = arg;
	const char *p = data;
	size_t left = len;
	ssize_t n;

	if (mf_feed(&f->mf, data, len) == -1) {
		complain("agentd sent no file of an agent: %s", f->mf.why);
		return -1;
	}
	(void)crypto_hash_sha256_update(&f->sha, data, len);
	while (left > 0) {
		if ((n = write(f->fd, p, left)) == -1) {
			if (errno == EINTR)
				continue;
			complain("%s: %s", f->part, strerror(errno));
			return -1;
		}
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

/* The name in its directory has to survive a power cut as well. */
static int
sync_dir(const char *name)
{
	char copy[FILE_LEN];
	int fd, r;

	(void)strlcpy(copy, name, sizeof(copy));
	if ((fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) ==
	    -1)
		return -1;
	r = fsync(fd);
	(void)close(fd);
	return r;
}

/* All has come: is it whole, and does it lie on the disk as it came? */
static int
seal(struct file *f)
{
	struct stat st;

	if (mf_end(&f->mf) == -1) {
		complain("the file is not whole: %s", f->mf.why);
		return -1;
	}
	if (fsync(f->fd) == -1 || fstat(f->fd, &st) == -1) {
		complain("%s: %s", f->part, strerror(errno));
		return -1;
	}
	if ((uint64_t)st.st_size != f->mf.off) {
		complain("%s has %lld bytes, %llu have come", f->part,
		    (long long)st.st_size, (unsigned long long)f->mf.off);
		return -1;
	}
	if (rename(f->part, f->name) == -1 || sync_dir(f->name) == -1) {
		complain("%s: %s", f->name, strerror(errno));
		return -1;
	}
	return 0;
}

static void
report(const struct ctl *ctl, struct file *f, const char *agent)
{
	unsigned char sum[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(sum) + 1], size[32];
	struct json_object *o;

	(void)crypto_hash_sha256_final(&f->sha, sum);
	(void)sodium_bin2hex(hex, sizeof(hex), sum, sizeof(sum));
	if (ctl->json) {
		o = json_object_new_object();
		json_object_object_add(o, "agent",
		    json_object_new_string(agent));
		json_object_object_add(o, "file",
		    json_object_new_string(f->name));
		json_object_object_add(o, "size",
		    json_object_new_int64((int64_t)f->mf.off));
		json_object_object_add(o, "sha256",
		    json_object_new_string(hex));
		(void)printf("%s\n", json_object_to_json_string(o));
		json_object_put(o);
		return;
	}
	(void)printf("exported %s to %s (%s)\nsha256 %s\n", agent, f->name,
	    fmt_size(size, sizeof(size), (double)f->mf.off), hex);
}

static int
export(struct ctl *ctl, const char *agent, const char *name, bool force)
{
	char path[PATH_LEN];
	struct file f = { .name = name };
	int ret = -1;

	if (!force && access(name, F_OK) == 0) {
		complain("%s is there already; --force writes over it", name);
		return CTL_FAIL;
	}
	(void)snprintf(f.part, sizeof(f.part), "%s.part", name);
	f.fd = open(f.part, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW |
	    O_CLOEXEC, 0600);
	if (f.fd == -1) {
		complain("%s: %s", f.part, strerror(errno));
		return CTL_FAIL;
	}
	mf_init(&f.mf, NULL, NULL);
	(void)crypto_hash_sha256_init(&f.sha);
	(void)snprintf(path, sizeof(path), "/api/agents/%s/export", agent);
	if (rest_download(ctl, path, on_data, &f) == 0)
		ret = seal(&f);
	(void)close(f.fd);
	if (ret == -1) {
		(void)unlink(f.part);
		return CTL_FAIL;
	}
	report(ctl, &f, agent);
	return CTL_OK;
}

int
cmd_agent_export(struct ctl *ctl, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "force", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 }
	};
	const char *name = NULL, *agent;
	char dflt[160];
	bool force = false;
	int c;

	optind = 0;
	while ((c = getopt_long(argc + 1, argv - 1, "o:f", opts, NULL)) != -1)
		switch (c) {
		case 'o': name = optarg; break;
		case 'f': force = true; break;
		default: return ctl_usage();
		}
	if (argc + 1 - optind != 1)
		return ctl_usage();
	agent = argv[optind - 1];
	if (!agent_name_ok(agent))
		return CTL_USAGE;
	if (name == NULL) {
		(void)snprintf(dflt, sizeof(dflt), "%s.agentd", agent);
		name = dflt;
	}
	if (strlen(name) + sizeof(".part") > FILE_LEN) {
		complain("the name of the file is too long");
		return CTL_USAGE;
	}
	return export(ctl, agent, name, force);
}

/* ---- import ---- */

struct wish {
	const char *name, *model, *network, *key;
	bool wait;
};

static int
import(struct ctl *ctl, const char *file, const struct wish *w)
{
	const char *const fields[][2] = {
		{ "name", w->name }, { "model", w->model },
		{ "network", w->network }, { "trust_key", w->key },
	};
	char path[PATH_LEN] = "/api/agents/import";
	struct reply r;
	size_t i;
	int ret;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i][1] != NULL && path_query(path, sizeof(path),
		    fields[i][0], fields[i][1]) == -1) {
			complain("--%s is too long", fields[i][0]);
			return CTL_USAGE;
		}
	ret = rest_upload(ctl, "POST", path, NULL, file, &r) == -1 ?
	    CTL_FAIL : deploy_follow(ctl, &r, w->wait);
	reply_free(&r);
	return ret;
}

int
cmd_agent_import(struct ctl *ctl, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "model", required_argument, NULL, 'm' },
		{ "network", required_argument, NULL, 'N' },
		{ "trust-key", required_argument, NULL, 't' },
		{ "no-wait", no_argument, NULL, 'W' },
		{ NULL, 0, NULL, 0 }
	};
	struct wish w = { .wait = true };
	int c;

	optind = 0;
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1)
		switch (c) {
		case 'n': w.name = optarg; break;
		case 'm': w.model = optarg; break;
		case 'N': w.network = optarg; break;
		case 't': w.key = optarg; break;
		case 'W': w.wait = false; break;
		default: return ctl_usage();
		}
	if (argc + 1 - optind != 1)
		return ctl_usage();
	return import(ctl, argv[optind - 1], &w);
}
