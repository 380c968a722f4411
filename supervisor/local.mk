# Build rules of supervisor/.
# SPDX-License-Identifier: ISC
sbin_PROGRAMS += agentd

# What reads configuration, apart for its tests and its fuzzer.
noinst_LIBRARIES += libconf.a
libconf_a_SOURCES = \
	supervisor/diag.h supervisor/diag.c \
	supervisor/ytree.h supervisor/ytree.c \
	supervisor/schema.h supervisor/schema.c \
	supervisor/conf.h supervisor/conf.c \
	supervisor/catalog.h supervisor/catalog.c
libconf_a_CPPFLAGS = $(AM_CPPFLAGS) $(YAML_CFLAGS)

agentd_SOURCES = \
	supervisor/super.h \
	supervisor/main.c \
	supervisor/agents.h supervisor/agents.c \
	supervisor/caps.h supervisor/caps.c \
	supervisor/cause.h supervisor/cause.c \
	supervisor/control.c \
	supervisor/daemon.h supervisor/daemon.c \
	supervisor/files.h supervisor/files.c \
	supervisor/listen.h supervisor/listen.c \
	supervisor/logs.h supervisor/logs.c \
	supervisor/push.c \
	supervisor/restart.h supervisor/restart.c \
	supervisor/spawn.h supervisor/spawn.c \
	supervisor/workers.c
agentd_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) $(SECCOMP_CFLAGS) \
	$(SYSTEMD_CFLAGS)
agentd_LDADD = libconf.a libcommon.a $(EVENT_LIBS) $(YAML_LIBS) \
	$(SECCOMP_LIBS) $(SYSTEMD_LIBS) $(BSD_LIBS)

EXTRA_DIST += tests/golden/conf
if HAVE_CMOCKA
UNIT += tests/unit/test_conf tests/unit/test_catalog \
	tests/unit/test_logs tests/unit/test_restart
CONF_TEST_LIBS = libconf.a libcommon.a $(YAML_LIBS) $(UNIT_LIBS)
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/supervisor \
	-DGOLDEN='"$(abs_srcdir)/tests/golden"'
tests_unit_test_conf_LDADD = $(CONF_TEST_LIBS)
tests_unit_test_catalog_SOURCES = tests/unit/test_catalog.c
tests_unit_test_catalog_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/supervisor \
	-DSHIPPED='"$(abs_srcdir)/catalog"'
tests_unit_test_catalog_LDADD = $(CONF_TEST_LIBS)
tests_unit_test_logs_SOURCES = tests/unit/test_logs.c supervisor/logs.c
tests_unit_test_logs_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/supervisor \
	$(EVENT_CFLAGS) $(SYSTEMD_CFLAGS)
tests_unit_test_logs_LDADD = libcommon.a $(EVENT_LIBS) $(SYSTEMD_LIBS) \
	$(UNIT_LIBS)
tests_unit_test_restart_SOURCES = tests/unit/test_restart.c \
	supervisor/restart.c supervisor/cause.c
tests_unit_test_restart_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/supervisor \
	$(SECCOMP_CFLAGS)
tests_unit_test_restart_LDADD = libcommon.a $(SECCOMP_LIBS) $(UNIT_LIBS)
endif

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_conf
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c \
	supervisor/diag.c supervisor/ytree.c supervisor/schema.c \
	supervisor/conf.c supervisor/catalog.c
tests_fuzz_fuzz_conf_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/supervisor \
	$(YAML_CFLAGS)
tests_fuzz_fuzz_conf_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_conf_LDADD = libcommon.a $(YAML_LIBS) $(BSD_LIBS)
endif

# Takes the place of a worker in tests/e2e/test_rogue.py.
noinst_PROGRAMS += tests/hostile/rogue
tests_hostile_rogue_SOURCES = tests/hostile/rogue.c
tests_hostile_rogue_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_hostile_rogue_LDADD = $(WORKER_LIBS)
