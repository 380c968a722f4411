# Build rules of workers/container/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-container
agentd_container_SOURCES = workers/container/main.c \
	workers/container/container.h workers/container/action.c \
	workers/container/adopt.c workers/container/busy.c workers/container/copy.c \
	workers/container/create.c workers/container/create.h \
	workers/container/destroy.c workers/container/gate.c \
	workers/container/snapshot.c workers/container/tag.c \
	workers/container/env.c workers/container/image.c \
	workers/container/image.h workers/container/imgdrop.c \
	workers/container/imgget.c \
	workers/container/imgread.c \
	workers/container/incus.h workers/container/curl_loop.c \
	workers/container/curl_loop.h workers/container/incus.c \
	workers/container/instance.c workers/container/limits.c \
	workers/container/bridge.c workers/container/host.c \
	workers/container/net.c \
	workers/container/list.c workers/container/usage.c \
	workers/container/op.c workers/container/reply.c \
	workers/container/valid.c
agentd_container_SOURCES += workers/container/events.c \
	workers/container/exec.c workers/container/exec.h \
	workers/container/execin.c workers/container/execreq.c \
	workers/container/wsc.c workers/container/wsc.h
agentd_container_SOURCES += workers/container/backup.c \
	workers/container/temp.c
agentd_container_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(CURL_CFLAGS) \
	$(JSON_CFLAGS) $(SODIUM_CFLAGS)
agentd_container_LDADD = libjson.a libhttp.a $(WORKER_LIBS) $(CURL_LIBS) \
	$(JSON_LIBS) $(SODIUM_LIBS)

# The tool with which tests/e2e plays the peers of a worker.
noinst_PROGRAMS += tests/e2e/drive
tests_e2e_drive_SOURCES = tests/e2e/drive.c
tests_e2e_drive_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JSON_CFLAGS)
tests_e2e_drive_LDADD = libcommon.a $(EVENT_LIBS) $(JSON_LIBS) \
	$(SODIUM_LIBS) $(BSD_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_container
tests_unit_test_container_SOURCES = tests/unit/test_container.c \
	workers/container/reply.c workers/container/valid.c
tests_unit_test_container_CPPFLAGS = $(AM_CPPFLAGS) \
	-I$(srcdir)/workers/container
tests_unit_test_container_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
tests_unit_test_container_LDADD = libhttp.a libcommon.a $(JSON_LIBS) \
	-lm $(UNIT_LIBS)
endif
