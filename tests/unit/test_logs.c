/*
 * Log files: what a worker writes arrives, is rotated, and never blocks.
 *
 * SPDX-License-Identifier: ISC
 */
#include <sys/stat.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf.h"
#include "logs.h"

static char dir[] = "test_logs.XXXXXX";
static struct conf conf;

static int
setup(void **state)
{
	int err;

	(void)state;
	memset(&conf, 0, sizeof(conf));
	if (mkdtemp(dir) == NULL)
		return -1;
	conf.log_dir = dir;
	conf.log_target = LOG_FILE;
	conf.admin_group = strdup("no-such-group");
	/* What the test framework says must not go into a log. */
	err = dup(STDERR_FILENO);
	logs_init(&conf, false);
	if (err == -1 || dup2(err, STDERR_FILENO) == -1)
		return -1;
	close(err);
	return 0;
}

static int
teardown(void **state)
{
	char cmd[64];
	enum proc p;
	int i;

	(void)state;
	for (p = PROC_SUPER; p < PROC_MAX; p++)
		for (i = 0; i <= LOGS_FILES; i++) {
			if (i == 0)
				snprintf(cmd, sizeof(cmd), "%s/%s.log", dir,
				    proc_name(p));
			else
				snprintf(cmd, sizeof(cmd), "%s/%s.log.%d", dir,
				    proc_name(p), i);
			unlink(cmd);
		}
	free(conf.admin_group);
	return rmdir(dir);
}

static off_t
size_of(const char *name)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return stat(path, &st) == -1 ? -1 : st.st_size;
}

static void
test_line(void **state)
{
	char path[64], buf[64] = "";
	struct stat st;
	FILE *f;
	int fd;

	(void)state;
	fd = logs_open_worker(PROC_FRONT);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, "hello\n", 6), 6);
	logs_flush();
	snprintf(path, sizeof(path), "%s/front.log", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(buf, sizeof(buf), f));
	assert_string_equal(buf, "hello\n");
	assert_int_equal(fstat(fileno(f), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	fclose(f);
	close(fd);
}

/* Nobody reads: the writer is told, and goes on. */
static void
test_never_blocks(void **state)
{
	char block[4096];
	ssize_t n;
	int fd, i;

	(void)state;
	memset(block, 'x', sizeof(block));
	fd = logs_open_worker(PROC_PROXY);
	for (i = 0; i < 1000; i++)
		if ((n = write(fd, block, sizeof(block))) == -1)
			break;
	assert_int_equal(n, -1);
	assert_int_equal(errno, EAGAIN);
	logs_flush();
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static void
test_rotation(void **state)
{
	static char block[65536];
	size_t i, written;
	off_t total = 0;
	char name[32];
	int fd, k;

	(void)state;
	memset(block, 'y', sizeof(block));
	fd = logs_open_worker(PROC_TRACE);
	/* Twice what is kept. */
	for (i = 0; i < 2 * LOGS_FILES * LOGS_FILE_MAX / sizeof(block); i++) {
		written = (size_t)write(fd, block, sizeof(block));
		assert_int_equal(written, sizeof(block));
		logs_flush();
	}
	close(fd);
	for (k = 0; k < LOGS_FILES; k++) {
		snprintf(name, sizeof(name), k == 0 ? "trace.log" :
		    "trace.log.%d", k);
		assert_true(size_of(name) > 0);
		assert_true(size_of(name) <= LOGS_FILE_MAX);
		total += size_of(name);
	}
	assert_true(total > (LOGS_FILES - 1) * (off_t)LOGS_FILE_MAX * 9 / 10);
	snprintf(name, sizeof(name), "trace.log.%d", LOGS_FILES);
	assert_int_equal(size_of(name), -1);
}

/* An admin has moved the file away. */
static void
test_reopen(void **state)
{
	char from[64], to[64];
	int fd;

	(void)state;
	snprintf(from, sizeof(from), "%s/front.log", dir);
	snprintf(to, sizeof(to), "%s/front.log.1", dir);
	assert_int_equal(rename(from, to), 0);
	logs_reopen();
	assert_int_equal(size_of("front.log"), 0);
	fd = logs_open_worker(PROC_FRONT);
	assert_int_equal(write(fd, "new\n", 4), 4);
	logs_flush();
	assert_int_equal(size_of("front.log"), 4);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_never_blocks),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_reopen),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
