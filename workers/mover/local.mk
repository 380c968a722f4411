# Build rules of workers/mover/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-mover
agentd_mover_SOURCES = workers/mover/main.c workers/mover/mover.h \
	workers/mover/spool.c
agentd_mover_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)
agentd_mover_LDADD = libhttp.a $(WORKER_LIBS) $(SODIUM_LIBS)
