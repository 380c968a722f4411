# Build rules of agentctl.
# SPDX-License-Identifier: ISC
bin_PROGRAMS += agentctl
CTL_MODULES = ctl/ctl.h ctl/out.c ctl/trace_print.c ctl/trace_print.h
agentctl_SOURCES = ctl/main.c ctl/rest.c ctl/cmd_agent.c \
	ctl/cmd_catalog.c ctl/cmd_agent_act.c ctl/cmd_agent_deploy.c ctl/cmd_agent_set.c \
	ctl/cmd_chat.c \
	ctl/cmd_archive.c ctl/cmd_snapshot.c \
	ctl/cmd_doctor.c ctl/cmd_image.c ctl/cmd_image_build.c ctl/fetch.c \
	ctl/image_file.c ctl/cmd_limits.c ctl/cmd_net.c ctl/cmd_logs.c \
	ctl/cmd_pool.c \
	ctl/cmd_provider.c \
	ctl/cmd_status.c ctl/cmd_trace.c ctl/list.c $(CTL_MODULES)
agentctl_SOURCES += ctl/cmd_agent_logs.c ctl/cmd_exec.c ctl/cmd_recycle.c \
	ctl/exec_session.c ctl/exec_session.h ctl/exec_tty.c
agentctl_SOURCES += ctl/rest.h ctl/rest_file.c ctl/cmd_move.c \
	common/movefile.h common/movefile.c
agentctl_CPPFLAGS = $(AM_CPPFLAGS) $(CURL_CFLAGS) $(JSON_CFLAGS) \
	$(SODIUM_CFLAGS)
agentctl_LDADD = libhttp.a libcommon.a $(CURL_LIBS) $(JSON_LIBS) $(SODIUM_LIBS) \
	$(BSD_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_ctl_out
tests_unit_test_ctl_out_SOURCES = tests/unit/test_ctl_out.c $(CTL_MODULES)
tests_unit_test_ctl_out_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/ctl \
	$(JSON_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_ctl_out_LDADD = libcommon.a $(JSON_LIBS) $(UNIT_LIBS)
endif
EXTRA_DIST += tests/e2e/test_ctl.py
