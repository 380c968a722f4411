# Build rules of common/: what every process shares.
# SPDX-License-Identifier: ISC
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = common/msg.def common/msg.h common/msg.c \
	common/chan.h common/chan.c \
	common/log.h common/log.c \
	common/pass.h common/pass.c \
	common/peer.h common/peer.c \
	common/sandbox.h common/sandbox.c \
	common/sys.h common/sys.c \
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
