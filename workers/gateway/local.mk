# Build rules of workers/gateway/.
# SPDX-License-Identifier: ISC
noinst_LIBRARIES += libgateway.a
libgateway_a_SOURCES = \
	workers/gateway/agent.c workers/gateway/auth.c \
	workers/gateway/bridge.c workers/gateway/budget.c \
	workers/gateway/connect.c workers/gateway/net.c \
	workers/gateway/net.h workers/gateway/tunnel.c \
	workers/gateway/budget.h workers/gateway/events.c \
	workers/gateway/gateway.c workers/gateway/gateway.h \
	workers/gateway/hello.c workers/gateway/llm.c workers/gateway/llm.h \
	workers/gateway/llm_seen.c workers/gateway/llm_stream.c \
	workers/gateway/llm_trace.c \
	workers/gateway/llmreq.c workers/gateway/llmreq.h \
	workers/gateway/models.c workers/gateway/request.c \
	workers/gateway/tap.c workers/gateway/tap.h \
	workers/gateway/toolmap.c workers/gateway/toolmap.h \
	workers/gateway/tracein.c workers/gateway/traceq.c \
	workers/gateway/traceq.h
libgateway_a_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)

pkglibexec_PROGRAMS += agentd-gateway
agentd_gateway_SOURCES = workers/gateway/main.c
agentd_gateway_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
GATEWAY_LIBS = libgateway.a libhttp.a libjson.a $(WORKER_LIBS) \
	$(JSON_LIBS) $(SODIUM_LIBS)
agentd_gateway_LDADD = $(GATEWAY_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_llmreq tests/unit/test_tap tests/unit/test_toolmap
GATEWAY_TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/workers/gateway
tests_unit_test_llmreq_SOURCES = tests/unit/test_llmreq.c
tests_unit_test_llmreq_CPPFLAGS = $(GATEWAY_TEST_CPPFLAGS)
tests_unit_test_llmreq_LDADD = libgateway.a libhttp.a $(UNIT_LIBS)
tests_unit_test_tap_SOURCES = tests/unit/test_tap.c
tests_unit_test_tap_CPPFLAGS = $(GATEWAY_TEST_CPPFLAGS)
tests_unit_test_tap_LDADD = libgateway.a libhttp.a $(UNIT_LIBS)
tests_unit_test_toolmap_SOURCES = tests/unit/test_toolmap.c
tests_unit_test_toolmap_CPPFLAGS = $(GATEWAY_TEST_CPPFLAGS)
tests_unit_test_toolmap_LDADD = libgateway.a $(UNIT_LIBS)
UNIT += tests/unit/test_gateway tests/unit/test_gateway_llm
tests_unit_test_gateway_SOURCES = tests/unit/test_gateway.c \
	tests/unit/gw_world.c tests/unit/gw_world.h
tests_unit_test_gateway_CPPFLAGS = $(GATEWAY_TEST_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_gateway_LDADD = $(GATEWAY_LIBS) $(CMOCKA_LIBS)
tests_unit_test_gateway_llm_SOURCES = tests/unit/test_gateway_llm.c \
	tests/unit/gw_world.c tests/unit/gw_world.h
tests_unit_test_gateway_llm_CPPFLAGS = $(GATEWAY_TEST_CPPFLAGS) \
	$(EVENT_CFLAGS)
tests_unit_test_gateway_llm_LDADD = $(GATEWAY_LIBS) $(CMOCKA_LIBS)
endif

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_llm
tests_fuzz_fuzz_llm_SOURCES = tests/fuzz/fuzz_llm.c \
	workers/gateway/llmreq.c workers/gateway/tap.c common/jscan.c \
	common/jscan_key.c \
	common/jiter.c common/jbuf.c common/sse.c
tests_fuzz_fuzz_llm_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/workers/gateway
tests_fuzz_fuzz_llm_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_llm_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_llm_LDADD = $(BSD_LIBS)
endif
