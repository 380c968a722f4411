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
EXTRA_DIST += tests/peers/mock-upstream.js
