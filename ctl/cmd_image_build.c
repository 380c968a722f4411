/*
 * agentctl image build.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front, image-build.
 *
 * Images are built here, by the user who asks, and reach the service as a
 * stream: no worker runs apt or npm.
 */
#include "config.h"

#include <sys/wait.h>

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define BUILDER		PKGLIBEXECDIR "/image-build"
#define CATALOG		PKGDATADIR "/catalog"
#define PATH_LEN	1024

struct build {
	const char *name, *version, *output, *link, *catalog;
};

static int
parse_build(int argc, char **argv, struct build *b)
{
	static const struct option opts[] = {
		{ "version", required_argument, NULL, 'v' },
		{ "output", required_argument, NULL, 'o' },
		{ "link", required_argument, NULL, 'l' },
		{ "catalog", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	optind = 0;
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		switch (c) {
		case 'v': b->version = optarg; break;
		case 'o': b->output = optarg; break;
		case 'l': b->link = optarg; break;
		case 'c': b->catalog = optarg; break;
		default:
			return ctl_usage();
		}
	}
	if (argc + 1 - optind != 1)
		return ctl_usage();
	b->name = argv[optind - 1];
	if (path_segment_ok(b->name))
		return CTL_OK;
	complain("'%s' is not the name of an image", b->name);
	return CTL_USAGE;
}

/* The alias that the catalog gives this image. */
static int
read_alias(const struct build *b, char *alias, size_t size)
{
	char path[PATH_LEN], line[512], *p;
	FILE *f;
	int ret = -1;

	(void)snprintf(path, sizeof(path), "%s/images/%s/image.conf",
	    b->catalog, b->name);
	if ((f = fopen(path, "re")) == NULL) {
		complain("there is no image '%s' in the catalog (%s: %s)",
		    b->name, path, strerror(errno));
		return -1;
	}
	while (ret == -1 && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "alias", 5) != 0 ||
		    (p = strchr(line, '=')) == NULL)
			continue;
		do
			p++;
		while (isspace((unsigned char)*p));
		p[strcspn(p, " \t\r\n#")] = '\0';
		if (path_segment_ok(p) && strlcpy(alias, p, size) < size)
			ret = 0;
	}
	fclose(f);
	if (ret == -1)
		complain("%s: there is no alias in it", path);
	return ret;
}

/* Runs the builder; its words go to our standard error. */
static int
run_builder(const struct build *b, const char *output)
{
	const char *args[16];
	int n = 0, status;
	pid_t pid;

	args[n++] = BUILDER;
	args[n++] = b->name;
	args[n++] = "--output";
	args[n++] = output;
	args[n++] = "--catalog";
	args[n++] = b->catalog;
	if (b->version != NULL) {
		args[n++] = "--version";
		args[n++] = b->version;
	}
	if (b->link != NULL) {
		args[n++] = "--link";
		args[n++] = b->link;
	}
	args[n] = NULL;
	(void)fflush(stdout);
	if ((pid = fork()) == 0) {
		(void)dup2(STDERR_FILENO, STDOUT_FILENO);
		/* execv() does not write to them; its type is historic. */
		(void)execv(args[0], (char *const *)(uintptr_t)args);
		complain("%s: %s", args[0], strerror(errno));
		_exit(127);
	}
	if (pid == -1 || waitpid(pid, &status, 0) == -1) {
		complain("%s: %s", args[0], strerror(errno));
		return -1;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		complain("the image was not built");
		return -1;
	}
	return 0;
}

int
cmd_image_build(struct ctl *ctl, int argc, char **argv)
{
	static const struct vouch built = { .trust = "built" };
	struct build b = { .catalog = CATALOG };
	char alias[129], dir[] = "/var/tmp/agentctl.XXXXXXXX", temp[64];
	const char *output;
	int ret;

	if ((ret = parse_build(argc, argv, &b)) != CTL_OK)
		return ret;
	if (read_alias(&b, alias, sizeof(alias)) == -1)
		return CTL_FAIL;
	output = b.output;
	if (output == NULL) {
		if (mkdtemp(dir) == NULL) {
			complain("%s: %s", dir, strerror(errno));
			return CTL_FAIL;
		}
		(void)snprintf(temp, sizeof(temp), "%s/image.tar.zst", dir);
		output = temp;
	}
	ret = CTL_FAIL;
	if (run_builder(&b, output) == 0)
		ret = image_upload(ctl, alias, output, &built);
	if (b.output == NULL) {
		(void)unlink(temp);
		(void)rmdir(dir);
	} else if (ret != CTL_OK && access(output, R_OK) == 0)
		complain("the image is in %s; import it with: agentctl image "
		    "import --unsigned %s %s", output, alias, output);
	return ret;
}

/* Looks into files; the service is not asked. */
int
cmd_image_sbom(struct ctl *ctl, int argc, char **argv)
{
	(void)ctl;
	(void)argc;
	(void)execl(BUILDER, BUILDER, "--sbom", argv[0], (char *)NULL);
	complain("%s: %s", BUILDER, strerror(errno));
	return CTL_FAIL;
}

int
cmd_image_compare(struct ctl *ctl, int argc, char **argv)
{
	(void)ctl;
	(void)argc;
	(void)execl(BUILDER, BUILDER, "--compare", argv[0], argv[1],
	    (char *)NULL);
	complain("%s: %s", BUILDER, strerror(errno));
	return CTL_FAIL;
}
