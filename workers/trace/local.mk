# Build rules of workers/trace/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-trace
TRACE_MODULES = workers/trace/trace.h workers/trace/query.h \
	workers/trace/agents.c workers/trace/bucket.c workers/trace/event.c \
	workers/trace/fallback.c workers/trace/hours.c \
	workers/trace/query.c workers/trace/store.c \
	workers/trace/sweep.c workers/trace/tail.c
agentd_trace_SOURCES = workers/trace/main.c workers/trace/intake.h \
	workers/trace/move.h workers/trace/export.c workers/trace/import.c \
	workers/trace/intake.c workers/trace/out.c workers/trace/post.h \
	workers/trace/post.c $(TRACE_MODULES)
agentd_trace_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)
agentd_trace_LDADD = libdb.a libhttp.a $(WORKER_LIBS) $(SQLITE_LIBS) \
	$(SODIUM_LIBS) -lm

if HAVE_CMOCKA
UNIT += tests/unit/test_trace_store tests/unit/test_trace_query
TRACE_TEST_UTIL = tests/unit/trace_util.h tests/unit/trace_util.c
TRACE_TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/workers/trace
TRACE_TEST_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)
TRACE_TEST_LIBS = libdb.a libhttp.a libcommon.a $(EVENT_LIBS) \
	$(SQLITE_LIBS) $(SODIUM_LIBS) -lm $(UNIT_LIBS)
tests_unit_test_trace_store_SOURCES = tests/unit/test_trace_store.c \
	$(TRACE_TEST_UTIL) $(TRACE_MODULES)
tests_unit_test_trace_store_CPPFLAGS = $(TRACE_TEST_CPPFLAGS)
tests_unit_test_trace_store_CFLAGS = $(TRACE_TEST_CFLAGS)
tests_unit_test_trace_store_LDADD = $(TRACE_TEST_LIBS)
tests_unit_test_trace_query_SOURCES = tests/unit/test_trace_query.c \
	$(TRACE_TEST_UTIL) $(TRACE_MODULES)
tests_unit_test_trace_query_CPPFLAGS = $(TRACE_TEST_CPPFLAGS)
tests_unit_test_trace_query_CFLAGS = $(TRACE_TEST_CFLAGS)
tests_unit_test_trace_query_LDADD = $(TRACE_TEST_LIBS)
endif
