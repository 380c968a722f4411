/*
 * An image in a file, with its signature, on its way to the service.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define PATH_LEN	1024
#define LINE_LEN	1024
#define COMMENT		"trusted comment: "

enum part { PART_SIGNATURE, PART_COMMENT, PART_GLOBAL, PARTS };

static const char *const header[PARTS] = {
	[PART_SIGNATURE] = "X-Minisign-Signature: ",
	[PART_COMMENT] = "X-Minisign-Comment: ",
	[PART_GLOBAL] = "X-Minisign-Global: ",
};

/* The four lines of a .minisig file as three headers. */
static int
read_signature(const char *file, char out[PARTS][LINE_LEN])
{
	char line[LINE_LEN - 64];
	const char *text;
	int i, ret = -1;
	FILE *f;

	if ((f = fopen(file, "re")) == NULL) {
		complain("%s: %s", file, strerror(errno));
		return -1;
	}
	/* The first line is for people. */
	for (i = -1; i < PARTS; i++) {
		if (fgets(line, sizeof(line), f) == NULL ||
		    line[strcspn(line, "\n")] != '\n')
			break;
		line[strcspn(line, "\r\n")] = '\0';
		if (i == -1)
			continue;
		text = line;
		if (i == PART_COMMENT) {
			if (strncmp(line, COMMENT, sizeof(COMMENT) - 1) != 0)
				break;
			text += sizeof(COMMENT) - 1;
		}
		(void)snprintf(out[i], LINE_LEN, "%s%s", header[i], text);
	}
	if (i == PARTS)
		ret = 0;
	else
		complain("%s: not a signature of minisign(1)", file);
	fclose(f);
	return ret;
}

int
image_upload(struct ctl *ctl, const char *alias, const char *file,
    const struct vouch *v)
{
	char path[PATH_LEN], beside[PATH_LEN], text[PARTS][LINE_LEN];
	const char *headers[PARTS + 1] = { NULL }, *sig = v->sig;
	struct reply r;
	int i, ret;

	if (!path_segment_ok(alias)) {
		complain("'%s' is not an alias of an image", alias);
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/images/%s", alias);
	if (v->trust != NULL && path_query(path, sizeof(path), "trust",
	    v->trust) == -1)
		return CTL_USAGE;
	if (v->trust == NULL && sig == NULL) {
		(void)snprintf(beside, sizeof(beside), "%s.minisig", file);
		sig = beside;
		if (access(sig, R_OK) == -1) {
			complain("%s is not signed (there is no %s); "
			    "--unsigned imports it all the same", file, sig);
			return CTL_FAIL;
		}
	}
	if (sig != NULL) {
		if (read_signature(sig, text) == -1)
			return CTL_FAIL;
		for (i = 0; i < PARTS; i++)
			headers[i] = text[i];
	}
	ret = rest_upload(ctl, "PUT", path, headers, file, &r);
	if (out_words(ctl, ret, &r))
		(void)printf("imported as %s (%s)\n", alias,
		    v->trust != NULL ? v->trust : "signed");
	return reply_exit(ret, &r);
}
