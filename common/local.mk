# Build rules of common/: what every process shares.
# SPDX-License-Identifier: ISC
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = common/msg.def common/msg.h common/msg.c \
	common/chan.h common/chan.c \
	common/domain.h common/domain.c \
	common/evbase.h common/evbase.c \
	common/log.h common/log.c \
	common/pass.h common/pass.c \
	common/peer.h common/peer.c \
	common/sandbox.h common/sandbox.c \
	common/sys.h common/sys.c common/text.h common/text.c \
	common/worker.h common/worker.c
nodist_libcommon_a_SOURCES = common/msg_digest.h
libcommon_a_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) $(SECCOMP_CFLAGS) \
	$(SODIUM_CFLAGS)

# What a worker links besides its own libraries.
WORKER_LIBS = libcommon.a $(EVENT_LIBS) $(SECCOMP_LIBS) $(BSD_LIBS)
# What unit tests of common/ link.
COMMON_TEST_LIBS = libcommon.a $(EVENT_LIBS) $(SECCOMP_LIBS) \
	$(SODIUM_LIBS) $(BSD_LIBS) $(CMOCKA_LIBS)

# Programs of different message tables must refuse each other.
BUILT_SOURCES += common/msg_digest.h
CLEANFILES += common/msg_digest.h
common/msg_digest.h: common/msg.def
	$(AM_V_GEN)mkdir -p common && printf '#define MSG_TABLE_DIGEST "%s"\n' \
	    "$$(sha256sum < $(srcdir)/common/msg.def | cut -d' ' -f1)" > $@
common/libcommon_a-msg.$(OBJEXT): common/msg_digest.h
include common/http.mk
include common/db.mk

if HAVE_CMOCKA
UNIT += tests/unit/test_msg tests/unit/test_pass tests/unit/test_peer \
	tests/unit/test_text
tests_unit_test_text_SOURCES = tests/unit/test_text.c
tests_unit_test_text_LDADD = libcommon.a $(UNIT_LIBS)
tests_unit_test_msg_SOURCES = tests/unit/test_msg.c
tests_unit_test_msg_LDADD = $(COMMON_TEST_LIBS)
tests_unit_test_pass_SOURCES = tests/unit/test_pass.c
tests_unit_test_pass_LDADD = $(COMMON_TEST_LIBS)
tests_unit_test_peer_SOURCES = tests/unit/test_peer.c
tests_unit_test_peer_LDADD = $(COMMON_TEST_LIBS)
endif

# A worker taken over: tests/e2e/test_sandbox.py runs it as each of them.
check_PROGRAMS += tests/hostile/probe
tests_hostile_probe_SOURCES = tests/hostile/probe.c
tests_hostile_probe_LDADD = libcommon.a $(SECCOMP_LIBS) $(BSD_LIBS)

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_msg tests/fuzz/mkseeds
tests_fuzz_fuzz_msg_SOURCES = tests/fuzz/fuzz_msg.c
tests_fuzz_fuzz_msg_LDADD = libcommon.a $(EVENT_LIBS) $(BSD_LIBS)
tests_fuzz_fuzz_msg_LDFLAGS = $(AGENTD_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_mkseeds_SOURCES = tests/fuzz/mkseeds.c
tests_fuzz_mkseeds_LDADD = libcommon.a
endif
