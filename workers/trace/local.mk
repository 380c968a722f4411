# Build rules of workers/trace/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-trace
TRACE_MODULES = workers/trace/trace.h workers/trace/query.h \
	workers/trace/agents.c workers/trace/bucket.c workers/trace/event.c \
	workers/trace/fallback.c workers/trace/query.c workers/trace/store.c \
	workers/trace/sweep.c workers/trace/tail.c
agentd_trace_SOURCES = workers/trace/main.c workers/trace/intake.h \
	workers/trace/intake.c workers/trace/out.c workers/trace/post.h \
	workers/trace/post.c $(TRACE_MODULES)
agentd_trace_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)
agentd_trace_LDADD = libdb.a libhttp.a $(WORKER_LIBS) $(SQLITE_LIBS) \
	$(SODIUM_LIBS) -lm
