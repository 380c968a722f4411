# Build rules of link/: agent-link, static, so that it runs in any image.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agent-link
LINK_MODULES = link/ack.c link/ack.h link/acp_record.c link/acp_record.h \
	link/acp_update.c link/acp_update.h link/bridge.c link/bridge.h \
	link/chatreply.c link/chatreply.h link/child.c link/child.h \
	link/conf.c link/conf.h link/exec_line.c link/exec_line.h \
	link/fconn.c link/fconn.h link/forward.c \
	link/forward.h link/gw.c link/gw.h link/inbox.c link/inbox.h \
	link/jpath.c link/jpath.h link/kind_acp.c link/kind_exec.c \
	link/kind_http.c link/kind_rpc.c link/outq.c link/outq.h \
	link/nic.c link/nic.h link/pconn.c link/pconn.h \
	link/preq.c link/preq.h \
	link/oom.c link/oom.h link/turn_int.h link/turn_send.c \
	link/prepare.c link/prepare.h \
	link/report.c link/report.h link/turn.c link/turn.h link/util.c \
	link/util.h
agent_link_SOURCES = link/main.c $(LINK_MODULES)
agent_link_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
agent_link_LDADD = libhttp.a libcommon.a $(EVENT_LIBS) $(BSD_LIBS)
if SANITIZE
agent_link_LDFLAGS = $(AM_LDFLAGS)
else
# Sanitizers cannot be linked statically. libevent can resolve names, which
# the linker warns of; the link never does.
agent_link_LDFLAGS = -static -Wl,-z,relro -Wl,--as-needed -Wl,--no-warnings
agent_link_LDADD += -lmd
endif

# What reads the lines of a runtime, apart for its tests and its fuzzer.
RUNTIME_PARSERS = link/acp_record.c link/acp_update.c link/exec_line.c \
	link/jpath.c link/report.c

if HAVE_CMOCKA
UNIT += tests/unit/test_link_preq
tests_unit_test_link_preq_SOURCES = tests/unit/test_link_preq.c link/preq.c
tests_unit_test_link_preq_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/link
tests_unit_test_link_preq_LDADD = $(UNIT_LIBS)
UNIT += tests/unit/test_link_conf tests/unit/test_link_inbox \
	tests/unit/test_link_outq tests/unit/test_link_report \
	tests/unit/test_link_oom
LINK_TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/link $(EVENT_CFLAGS) \
	$(CMOCKA_CFLAGS)
LINK_TEST_LIBS = libhttp.a libcommon.a $(EVENT_LIBS) $(UNIT_LIBS)
tests_unit_test_link_conf_SOURCES = tests/unit/test_link_conf.c link/conf.c
tests_unit_test_link_conf_CPPFLAGS = $(LINK_TEST_CPPFLAGS)
tests_unit_test_link_conf_LDADD = $(LINK_TEST_LIBS)
tests_unit_test_link_inbox_SOURCES = tests/unit/test_link_inbox.c \
	link/inbox.c link/util.c
tests_unit_test_link_inbox_CPPFLAGS = $(LINK_TEST_CPPFLAGS)
tests_unit_test_link_inbox_LDADD = $(LINK_TEST_LIBS)
tests_unit_test_link_outq_SOURCES = tests/unit/test_link_outq.c \
	link/outq.c link/jpath.c link/util.c
tests_unit_test_link_outq_CPPFLAGS = $(LINK_TEST_CPPFLAGS)
tests_unit_test_link_outq_LDADD = $(LINK_TEST_LIBS)
tests_unit_test_link_oom_SOURCES = tests/unit/test_link_oom.c link/oom.c
tests_unit_test_link_oom_CPPFLAGS = $(LINK_TEST_CPPFLAGS)
tests_unit_test_link_oom_LDADD = $(LINK_TEST_LIBS)
tests_unit_test_link_report_SOURCES = tests/unit/test_link_report.c \
	$(RUNTIME_PARSERS)
tests_unit_test_link_report_CPPFLAGS = $(LINK_TEST_CPPFLAGS)
tests_unit_test_link_report_LDADD = $(LINK_TEST_LIBS)
endif

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_runtime
tests_fuzz_fuzz_runtime_SOURCES = tests/fuzz/fuzz_runtime.c \
	$(RUNTIME_PARSERS)
tests_fuzz_fuzz_runtime_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/link
tests_fuzz_fuzz_runtime_LDFLAGS = $(AGENTD_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_runtime_LDADD = libhttp.a libcommon.a $(EVENT_LIBS) \
	$(BSD_LIBS)
endif

# The recycle bin in every image: rm, and what agentd asks of it.
pkglibexec_PROGRAMS += agent-recycle
agent_recycle_SOURCES = link/recycle.c link/recycle.h link/recycle_rm.c
agent_recycle_CPPFLAGS = $(AM_CPPFLAGS)
if !SANITIZE
agent_recycle_LDFLAGS = -static -Wl,-z,relro
endif
