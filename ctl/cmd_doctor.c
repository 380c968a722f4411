/*
 * agentctl doctor: what is missing on this machine, and what mends it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front, Incus.
 *
 * Each check prints one line: ok, warn or FAIL, and for the last two the
 * command that helps. It changes nothing, but with --repair the service mends
 * where Incus and its workers differ from its records.
 */
#include "config.h"

#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"

#define GIB		(1024.0 * 1024 * 1024)
#define STATE_FREE	(1 * GIB)	/* for databases and traces */
#define POOL_FREE	(3 * GIB)	/* for an image and a few agents */
#define IDS_PER_AGENT	65536
#define AGENTS_MIN	16		/* that ranges should be enough for */
#define INCUS_MAJOR	6

enum result { R_OK_, R_WARN, R_FAIL };

struct doctor {
	struct ctl *ctl;
	int fails, warns;
	const char *incus;	/* its socket, or NULL */
};

static void
say(struct doctor *d, enum result r, const char *fix, const char *fmt, ...)
    __attribute__((__format__(printf, 4, 5)));

static void
say(struct doctor *d, enum result r, const char *fix, const char *fmt, ...)
{
	static const struct {
		const char *word, *sgr;
	} results[] = { { "ok  ", "32" }, { "warn", "33" },
	    { "FAIL", "1;31" } };
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out_color(d->ctl, results[r].sgr);
	(void)printf("%s", results[r].word);
	out_color(d->ctl, NULL);
	(void)printf("  ");
	out_str(text);
	(void)putchar('\n');
	if (r != R_OK_ && fix != NULL)
		(void)printf("        try: %s\n", fix);
	d->fails += r == R_FAIL;
	d->warns += r == R_WARN;
}

/* The first line of a small file; "" when it cannot be read. */
static const char *
first_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");

	buf[0] = '\0';
	if (f != NULL) {
		if (fgets(buf, (int)size, f) == NULL)
			buf[0] = '\0';
		buf[strcspn(buf, "\n")] = '\0';
		fclose(f);
	}
	return buf;
}

static void
check_kernel(struct doctor *d)
{
	struct utsname un;
	char line[256];
	long abi;

	if (uname(&un) == -1)
		return;
	if (strstr(first_line("/proc/sys/kernel/seccomp/actions_avail", line,
	    sizeof(line)), "kill_process") != NULL)
		say(d, R_OK_, NULL, "kernel %s: seccomp", un.release);
	else
		say(d, R_FAIL, "boot a kernel with CONFIG_SECCOMP_FILTER",
		    "kernel %s has no seccomp filters: no worker starts",
		    un.release);
	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1U);
	if (abi >= 1)
		say(d, R_OK_, NULL, "kernel: Landlock, version %ld", abi);
	else
		say(d, R_FAIL, "boot with lsm=landlock,... on the kernel's "
		    "command line", "kernel has no Landlock (%s): no worker "
		    "starts", strerror(errno));
	if (strtol(first_line("/proc/sys/user/max_user_namespaces", line,
	    sizeof(line)), NULL, 10) > 0)
		say(d, R_OK_, NULL, "kernel: user namespaces");
	else
		say(d, R_FAIL, "sysctl -w user.max_user_namespaces=15000",
		    "kernel allows no user namespaces: no container starts");
}

static void
check_users(struct doctor *d)
{
	static const char *const workers[] = { "front", "keeper", "gateway",
	    "upstream", "dialer", "proxy", "container", "trace", "mover" };
	char name[64], missing[512] = "";
	size_t i;

	for (i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
		(void)snprintf(name, sizeof(name), USER_PREFIX "%s",
		    workers[i]);
		if (getpwnam(name) != NULL)
			continue;
		(void)strlcat(missing, " ", sizeof(missing));
		(void)strlcat(missing, name, sizeof(missing));
	}
	if (getgrnam("agentd-admin") == NULL)
		(void)strlcat(missing, " group agentd-admin",
		    sizeof(missing));
	if (missing[0] == '\0')
		say(d, R_OK_, NULL, "users of the workers, group of the "
		    "admins");
	else
		say(d, R_FAIL, PKGLIBEXECDIR "/mkusers", "missing users:%s",
		    missing);
}

/* How many ids root may map by this file; -1 when it says nothing. */
static long long
range_of_root(const char *path)
{
	char line[256], *p, *count;
	const char *errstr;
	long long n, sum = -1;
	FILE *f;

	if ((f = fopen(path, "re")) == NULL)
		return -1;
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		p = line;
		if (strcmp(strsep(&p, ":"), "root") != 0 ||
		    strsep(&p, ":") == NULL ||
		    (count = strsep(&p, ":")) == NULL)
			continue;
		n = strtonum(count, 0, UINT32_MAX, &errstr);
		if (errstr == NULL)
			sum = (sum == -1 ? 0 : sum) + n;
	}
	fclose(f);
	return sum;
}

static void
check_ranges(struct doctor *d, const char *path, const char *fix)
{
	long long n = range_of_root(path);

	if (n >= (long long)IDS_PER_AGENT * AGENTS_MIN)
		say(d, R_OK_, NULL, "%s: root may map %lld ids, %lld agents",
		    path, n, n / IDS_PER_AGENT);
	else if (n >= 0)
		say(d, R_WARN, fix, "%s: root may map only %lld ids: enough "
		    "for %lld agents", path, n, n / IDS_PER_AGENT);
	else
		say(d, R_WARN, fix, "%s: no range for root: Incus takes its "
		    "own default", path);
}

static void
check_space(struct doctor *d)
{
	static const char *const dirs[] = { LOCALSTATEDIR "/lib/agentd",
	    LOCALSTATEDIR "/lib", "/" };
	struct statvfs vfs;
	char buf[32];
	double left;
	size_t i;

	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (statvfs(dirs[i], &vfs) == 0)
			break;
	if (i == sizeof(dirs) / sizeof(dirs[0]))
		return;
	left = (double)vfs.f_bavail * (double)vfs.f_frsize;
	say(d, left >= STATE_FREE ? R_OK_ : R_WARN, "df -h", "%s: %s free",
	    dirs[i], fmt_size(buf, sizeof(buf), left));
}

/* ---- Incus ---- */

static void
check_pool(struct doctor *d, const char *name)
{
	struct json_object *doc, *space;
	char path[256], buf[32];
	double left;

	(void)snprintf(path, sizeof(path), "/1.0/storage-pools/%s/resources",
	    name);
	doc = rest_unix(d->incus, path);
	space = jget(jget(doc, "metadata"), "space");
	left = jnum(space, "total", 0) - jnum(space, "used", 0);
	if (space == NULL)
		say(d, R_OK_, NULL, "Incus: storage pool %s", name);
	else
		say(d, left >= POOL_FREE ? R_OK_ : R_WARN,
		    "incus storage set POOL size=40GiB",
		    "Incus: storage pool %s, %s free", name,
		    fmt_size(buf, sizeof(buf), left));
	json_object_put(doc);
}

static void
check_pools(struct doctor *d)
{
	struct json_object *doc, *list;
	const char *url, *name;
	size_t i;

	doc = rest_unix(d->incus, "/1.0/storage-pools");
	list = jget(doc, "metadata");
	for (i = 0; jat(list, i) != NULL; i++) {
		url = json_object_get_string(jat(list, i));
		name = strrchr(url, '/');
		if (name != NULL && path_segment_ok(name + 1))
			check_pool(d, name + 1);
	}
	if (i == 0)
		say(d, R_FAIL, PKGLIBEXECDIR "/incus-setup",
		    "Incus has no storage pool");
	json_object_put(doc);
}

static void
check_incus(struct doctor *d)
{
	static const char *const sockets[] = { "/var/lib/incus/unix.socket",
	    "/run/incus/unix.socket" };
	struct json_object *doc, *env;
	const char *version, *fix = PKGLIBEXECDIR "/incus-setup";
	size_t i;

	for (i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
		if (access(sockets[i], F_OK) == 0 && d->incus == NULL)
			d->incus = sockets[i];
	if (d->incus == NULL) {
		if (geteuid() != 0)
			say(d, R_WARN, "run this as root",
			    "Incus: its socket cannot be seen");
		else
			say(d, R_FAIL, fix, "Incus is not there or does not "
			    "run: no socket");
		return;
	}
	if ((doc = rest_unix(d->incus, "/1.0")) == NULL) {
		say(d, geteuid() != 0 ? R_WARN : R_FAIL, geteuid() != 0 ?
		    "run this as root" : fix, "Incus does not answer on %s",
		    d->incus);
		return;
	}
	env = jget(jget(doc, "metadata"), "environment");
	version = jstr(env, "server_version");
	if (strcmp(jstr(jget(doc, "metadata"), "auth"), "trusted") != 0)
		say(d, R_WARN, "run this as root", "Incus does not trust "
		    "this user");
	else if (version[0] >= '0' && version[0] <= '9' &&
	    strtol(version, NULL, 10) < INCUS_MAJOR)
		say(d, R_FAIL, fix, "Incus %s is too old, %d.0 is needed",
		    version, INCUS_MAJOR);
	else {
		say(d, R_OK_, NULL, "Incus %s on %s", version, d->incus);
		check_pools(d);
	}
	json_object_put(doc);
}

/* ---- the service ---- */

static bool
has_image(struct json_object *images, const char *alias)
{
	size_t i;

	for (i = 0; jat(images, i) != NULL; i++)
		if (strcmp(jstr(jat(images, i), "alias"), alias) == 0)
			return true;
	return false;
}

static void
check_images(struct doctor *d)
{
	struct reply frameworks, images = { .status = 0 };
	struct json_object *f;
	char missing[512] = "";
	size_t i, there = 0;

	if (rest_try(d->ctl, "/api/frameworks", &frameworks) == 200 &&
	    rest_try(d->ctl, "/api/images", &images) == 200) {
		for (i = 0; (f = jat(frameworks.doc, i)) != NULL; i++) {
			if (strcmp(jstr(f, "status"), "unavailable") == 0)
				continue;
			if (has_image(images.doc, jstr(f, "image"))) {
				there++;
				say(d, R_OK_, NULL, "image %s, for %s",
				    jstr(f, "image"), jstr(f, "id"));
				continue;
			}
			(void)strlcat(missing, ", ", sizeof(missing));
			(void)strlcat(missing, jstr(f, "id"),
			    sizeof(missing));
		}
		/* Nobody wants them all. */
		if (there == 0)
			say(d, R_WARN, "agentctl image build NAME",
			    "there is no image, so nothing can be deployed; "
			    "NAME is one of%s", missing + (missing[0] == ','));
		else if (missing[0] != '\0')
			say(d, R_OK_, NULL, "images that can be built when "
			    "they are wanted:%s", missing + 1);
	} else
		say(d, R_WARN, "agentctl logs keeper",
		    "images: the service does not say");
	reply_free(&frameworks);
	reply_free(&images);
}

/*
 * btrfs stops counting when its numbers went wrong: then no quota holds, and
 * Incus reports what was true before.
 */
static void
check_quotas(struct doctor *d)
{
	char line[32];
	glob_t g;
	size_t i;

	if (glob("/sys/fs/btrfs/*/qgroups/inconsistent", 0, NULL, &g) != 0)
		return;
	for (i = 0; i < g.gl_pathc; i++)
		if (strcmp(first_line(g.gl_pathv[i], line, sizeof(line)),
		    "1") == 0)
			say(d, R_WARN, "btrfs quota rescan "
			    "/var/lib/incus/storage-pools/NAME", "btrfs has "
			    "lost count (%s): disk quotas are not enforced",
			    g.gl_pathv[i]);
	globfree(&g);
}

static void
check_service(struct doctor *d)
{
	const char *fix = access("/run/systemd/system", F_OK) == 0 ?
	    "systemctl start agentd" : "/etc/init.d/agentd start";
	struct reply r;
	long status = rest_try(d->ctl, "/api/health", &r);
	const char *where = d->ctl->url != NULL ? d->ctl->url :
	    d->ctl->socket;

	if (status == 0)
		say(d, R_FAIL, fix, "agentd does not answer at %s", where);
	else if (status != 200)
		say(d, R_WARN, "agentctl status", "agentd answers, but not "
		    "all of its workers run (status %ld)", status);
	else
		say(d, R_OK_, NULL, "agentd answers at %s", where);
	reply_free(&r);
	if (status == 0)
		return;
	status = rest_try(d->ctl, "/api/status", &r);
	if (status == 200 && jstr(jget(r.doc, "storage"),
	    "storage_note")[0] != '\0')
		say(d, R_WARN, "incus storage create NAME btrfs, and name it "
		    "in the configuration (incus: pool)", "%s",
		    jstr(jget(r.doc, "storage"), "storage_note"));
	reply_free(&r);
	if (status == 403 || status == 401)
		say(d, R_WARN, "usermod -aG agentd-admin $USER (and log in "
		    "again)", "agentd does not take you for an admin");
	else
		check_images(d);
}

/* ---- what should be, and what is ---- */

static void
say_drift(struct doctor *d, struct json_object *o)
{
	const char *repair = jstr(o, "repair"), *result = jstr(o, "result");
	char fix[256];

	/* What was in it is lost: nobody is rebuilt without being named. */
	if (strcmp(jstr(o, "kind"), "instance") == 0) {
		(void)snprintf(fix, sizeof(fix), "agentctl agent rebuild %s "
		    "(a new one; its home is lost)", jstr(o, "name"));
		say(d, R_WARN, fix, "instance: agent %s has none%s",
		    jstr(o, "name"), strcmp(result, "done") == 0 ?
		    ": marked as failed" : "");
		return;
	}
	(void)snprintf(fix, sizeof(fix), "agentctl doctor --repair (%s)",
	    repair);
	if (strcmp(result, "done") == 0)
		say(d, R_OK_, NULL, "%s %s: mended: %s", jstr(o, "kind"),
		    jstr(o, "name"), repair);
	else if (result[0] != '\0' && repair[0] != '\0')
		say(d, R_FAIL, "agentctl logs keeper", "%s %s: %s: %s",
		    jstr(o, "kind"), jstr(o, "name"), repair, result);
	else
		say(d, R_WARN, repair[0] != '\0' ? fix :
		    "look at it: nothing mends it by itself",
		    "%s %s: should be %s, is %s", jstr(o, "kind"),
		    jstr(o, "name"), jstr(o, "should"), jstr(o, "is"));
}

static void
check_drift(struct doctor *d, bool repair)
{
	struct json_object *list;
	struct reply r;
	size_t i;

	if (!repair && rest_try(d->ctl, "/api/doctor/drift", &r) != 200) {
		reply_free(&r);
		return;
	}
	if (repair && rest_call(d->ctl, "POST", "/api/doctor/repair", "{}",
	    NULL, &r) == -1) {
		d->fails++;
		reply_free(&r);
		return;
	}
	list = jget(r.doc, "unanswered");
	for (i = 0; jat(list, i) != NULL; i++)
		say(d, R_WARN, "agentctl status", "%s does not say what it "
		    "has", json_object_get_string(jat(list, i)));
	list = jget(r.doc, "drift");
	for (i = 0; jat(list, i) != NULL; i++)
		say_drift(d, jat(list, i));
	if (i == 0)
		say(d, R_OK_, NULL, "Incus and the workers have what the "
		    "records say");
	reply_free(&r);
}

/* With --json: what the service says, nothing of this machine. */
static int
drift_json(struct ctl *ctl, bool repair)
{
	struct reply r;
	int ret;

	ret = rest_call(ctl, repair ? "POST" : "GET", repair ?
	    "/api/doctor/repair" : "/api/doctor/drift", repair ? "{}" : NULL,
	    NULL, &r);
	if (ret == 0)
		out_json(&r);
	reply_free(&r);
	return ret == 0 ? CTL_OK : CTL_FAIL;
}

int
cmd_doctor(struct ctl *ctl, int argc, char **argv)
{
	struct doctor d = { .ctl = ctl };
	bool repair = argc == 1;

	if (repair && strcmp(argv[0], "--repair") != 0) {
		complain("doctor knows --repair, not '%s'", argv[0]);
		return CTL_USAGE;
	}
	if (ctl->json)
		return drift_json(ctl, repair);
	check_kernel(&d);
	check_users(&d);
	check_ranges(&d, "/etc/subuid",
	    "echo root:1000000:1000000000 >>/etc/subuid");
	check_ranges(&d, "/etc/subgid",
	    "echo root:1000000:1000000000 >>/etc/subgid");
	check_incus(&d);
	check_space(&d);
	check_quotas(&d);
	check_service(&d);
	check_drift(&d, repair);
	(void)printf("\n%d failed, %d warnings\n", d.fails, d.warns);
	return d.fails == 0 ? CTL_OK : CTL_FAIL;
}
