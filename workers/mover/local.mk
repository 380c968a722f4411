# Build rules of workers/mover/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-mover
MOVER_PARSE = common/movefile.h common/movefile.c \
	workers/mover/doc.h workers/mover/doc.c \
	workers/mover/record.h workers/mover/record.c \
	workers/mover/set.h workers/mover/set.c \
	workers/mover/tar.h workers/mover/tar.c \
	workers/mover/tarhead.h workers/mover/tarhead.c
agentd_mover_SOURCES = workers/mover/main.c workers/mover/mover.h \
	workers/mover/check.c workers/mover/feed.c workers/mover/in.h \
	workers/mover/in.c workers/mover/out.c workers/mover/section.h \
	workers/mover/section.c workers/mover/spool.c $(MOVER_PARSE)
agentd_mover_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)
agentd_mover_LDADD = libhttp.a $(WORKER_LIBS) $(SODIUM_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_move
tests_unit_test_move_SOURCES = tests/unit/test_move.c $(MOVER_PARSE)
tests_unit_test_move_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/workers/mover
tests_unit_test_move_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
tests_unit_test_move_LDADD = libhttp.a libcommon.a $(SODIUM_LIBS) \
	$(UNIT_LIBS)
endif

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_move
tests_fuzz_fuzz_move_SOURCES = tests/fuzz/fuzz_move.c $(MOVER_PARSE)
tests_fuzz_fuzz_move_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/workers/mover
tests_fuzz_fuzz_move_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS) $(SODIUM_CFLAGS)
tests_fuzz_fuzz_move_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_move_LDADD = libhttp.a libcommon.a $(SODIUM_LIBS) \
	$(BSD_LIBS)
endif
