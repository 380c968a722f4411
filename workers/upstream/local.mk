# Build rules of workers/upstream/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-upstream
agentd_upstream_SOURCES = workers/upstream/main.c \
	workers/upstream/conn.h workers/upstream/conn.c \
	workers/upstream/demo.h workers/upstream/demo.c \
	workers/upstream/demo_reply.h workers/upstream/demo_reply.c \
	workers/upstream/exch.h workers/upstream/exch.c \
	workers/upstream/request.h workers/upstream/request.c \
	workers/upstream/route.h workers/upstream/route.c \
	workers/upstream/stream.h workers/upstream/stream.c \
	workers/upstream/tls.h workers/upstream/tls.c \
	workers/upstream/url.h workers/upstream/url.c
agentd_upstream_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(EVENT_SSL_CFLAGS) \
	$(SSL_CFLAGS)
agentd_upstream_LDADD = libhttp.a $(WORKER_LIBS) $(EVENT_SSL_LIBS) $(SSL_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_url tests/unit/test_demo
tests_unit_test_url_SOURCES = tests/unit/test_url.c workers/upstream/url.c \
	workers/upstream/request.c
tests_unit_test_url_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) \
	$(SSL_CFLAGS) -I$(srcdir)/workers/upstream
tests_unit_test_url_LDADD = libhttp.a libcommon.a $(EVENT_LIBS) $(UNIT_LIBS)
tests_unit_test_demo_SOURCES = tests/unit/test_demo.c \
	workers/upstream/demo_reply.c
tests_unit_test_demo_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) \
	-I$(srcdir)/workers/upstream
tests_unit_test_demo_LDADD = libhttp.a libcommon.a $(EVENT_LIBS) $(UNIT_LIBS)
endif
