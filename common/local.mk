# Build rules of common/: what every process shares.
# SPDX-License-Identifier: ISC
include common/http.mk
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = common/msg.def common/msg.h common/msg.c \
	common/log.h common/log.c
nodist_libcommon_a_SOURCES = common/msg_digest.h

# Programs of different message tables must refuse each other.
BUILT_SOURCES += common/msg_digest.h
CLEANFILES += common/msg_digest.h
common/msg_digest.h: common/msg.def
	$(AM_V_GEN)mkdir -p common && printf '#define MSG_TABLE_DIGEST "%s"\n' \
	    "$$(sha256sum < $(srcdir)/common/msg.def | cut -d' ' -f1)" > $@
common/msg.$(OBJEXT): common/msg_digest.h
