# Build rules of workers/front/.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agentd-front
front_table = workers/front/front.h workers/front/routes.h \
	workers/front/routes.c workers/front/routes_agent.c \
	workers/front/routes_life.c \
	workers/front/routes_archive.c workers/front/routes_doctor.c \
	workers/front/routes_chat.c workers/front/routes_image.c \
	workers/front/routes_limits.c workers/front/routes_pool.c \
	workers/front/routes_provider.c \
	workers/front/routes_system.c workers/front/routes_trace.c \
	workers/front/fields.c workers/front/fields.h \
	workers/front/values.c workers/front/guard.c workers/front/openapi.c
front_table += workers/front/routes_move.c
front_table += workers/front/routes_exec.c
agentd_front_SOURCES = $(front_table) workers/front/main.c \
	workers/front/auth.c workers/front/call.c workers/front/answer.c \
	workers/front/upload.c workers/front/local.c
agentd_front_SOURCES += workers/front/download.c
agentd_front_SOURCES += workers/front/exec.c workers/front/exec.h \
	workers/front/execout.c workers/front/bins.c
agentd_front_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
agentd_front_LDADD = libjson.a libhttp.a $(WORKER_LIBS) $(JSON_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_front
tests_unit_test_front_SOURCES = tests/unit/test_front.c $(front_table)
tests_unit_test_front_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/workers/front
tests_unit_test_front_LDADD = libjson.a libhttp.a libcommon.a $(EVENT_LIBS) \
	$(SECCOMP_LIBS) $(SODIUM_LIBS) $(JSON_LIBS) $(UNIT_LIBS)
endif
