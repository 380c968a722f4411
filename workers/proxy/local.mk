# Build rules of workers/proxy/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-proxy
PROXY_LEDGER = workers/proxy/ledger.h workers/proxy/ledger.c \
	workers/proxy/policy.c workers/proxy/provider.c workers/proxy/vkey.c
agentd_proxy_SOURCES = workers/proxy/main.c $(PROXY_LEDGER) \
	workers/proxy/providers.h workers/proxy/providers.c
agentd_proxy_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)
agentd_proxy_LDADD = libdb.a libhttp.a $(WORKER_LIBS) $(SQLITE_LIBS) \
	$(SODIUM_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_ledger
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c $(PROXY_LEDGER)
tests_unit_test_ledger_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/workers/proxy
tests_unit_test_ledger_LDADD = libdb.a libhttp.a libcommon.a $(SQLITE_LIBS) \
	$(SODIUM_LIBS) $(UNIT_LIBS)
endif
