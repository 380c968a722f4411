# Build rules of workers/dialer/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-dialer
agentd_dialer_SOURCES = workers/dialer/main.c workers/dialer/addr.h \
	workers/dialer/addr.c workers/dialer/dial.h workers/dialer/dial.c
agentd_dialer_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(EVENT_EXTRA_CFLAGS)
agentd_dialer_LDADD = $(WORKER_LIBS) $(EVENT_EXTRA_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_addr
tests_unit_test_addr_SOURCES = tests/unit/test_addr.c workers/dialer/addr.c
tests_unit_test_addr_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/workers/dialer
tests_unit_test_addr_LDADD = $(UNIT_LIBS)
endif
