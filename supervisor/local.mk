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
