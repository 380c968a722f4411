# Build rules of workers/keeper/.
# SPDX-License-Identifier: ISC
noinst_LIBRARIES += libkeeper.a
libkeeper_a_SOURCES = workers/keeper/keeper.h workers/keeper/agent.h \
	workers/keeper/job.h workers/keeper/jobsm.h workers/keeper/secret.h \
	workers/keeper/provider.h workers/keeper/tell.h \
	workers/keeper/limits.h workers/keeper/limits.c \
	workers/keeper/network.h workers/keeper/network.c \
	workers/keeper/disk.c workers/keeper/storage.c \
	workers/keeper/prepare.h workers/keeper/setting.h \
	workers/keeper/state.h \
	workers/keeper/verb.h workers/keeper/want.h \
	workers/keeper/bulk.c workers/keeper/oom.c \
	workers/keeper/prepare.c \
	workers/keeper/setting.c workers/keeper/state.c \
	workers/keeper/verb.c workers/keeper/verbjson.c \
	workers/keeper/want.c \
	workers/keeper/archive.h workers/keeper/saga.h \
	workers/keeper/snapshot.h workers/keeper/archfile.c \
	workers/keeper/archive.c workers/keeper/archrow.c \
	workers/keeper/archaim.c workers/keeper/archmodel.c \
	workers/keeper/rebuild.c \
	workers/keeper/fork.c workers/keeper/purge.c \
	workers/keeper/restore.c workers/keeper/saga.c \
	workers/keeper/sagalive.c workers/keeper/schedule.c \
	workers/keeper/snapshot.c \
	workers/keeper/agent.c workers/keeper/answer.c \
	workers/keeper/audit.c workers/keeper/auth.c \
	workers/keeper/bridge.c workers/keeper/chat.c \
	workers/keeper/deploy.c workers/keeper/frameworks.c \
	workers/keeper/history.c workers/keeper/image.c \
	workers/keeper/minisig.c workers/keeper/minisig.h \
	workers/keeper/job.c \
	workers/keeper/jobask.c workers/keeper/jobresume.c \
	workers/keeper/doctor.c workers/keeper/drift.c \
	workers/keeper/drift.h workers/keeper/driftfix.c \
	workers/keeper/jobrow.c workers/keeper/jobsm.c \
	workers/keeper/keeper.c \
	workers/keeper/idle.c workers/keeper/lifecycle.c \
	workers/keeper/pool.c workers/keeper/pool.h workers/keeper/poolfill.c \
	workers/keeper/pooljob.c workers/keeper/provcheck.c \
	workers/keeper/provider.c workers/keeper/reconcile.c \
	workers/keeper/reply.c workers/keeper/schema.c \
	workers/keeper/secret.c workers/keeper/status.c \
	workers/keeper/teardown.c workers/keeper/tell.c \
	workers/keeper/tracebox.c workers/keeper/turn.c \
	workers/keeper/watch.c
libkeeper_a_SOURCES += workers/keeper/ctevent.c workers/keeper/exec.c
libkeeper_a_SOURCES += workers/keeper/move.h workers/keeper/move_doc.c \
	workers/keeper/move_in.c \
	workers/keeper/move_job.c workers/keeper/move_may.c workers/keeper/move_out.c \
	workers/keeper/serverkey.c
libkeeper_a_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)

KEEPER_LIBS = libkeeper.a libdb.a libhttp.a $(WORKER_LIBS) $(SQLITE_LIBS) \
	$(SODIUM_LIBS)

pkglibexec_PROGRAMS += agentd-keeper
agentd_keeper_SOURCES = workers/keeper/main.c
agentd_keeper_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) $(SODIUM_CFLAGS)
agentd_keeper_LDADD = $(KEEPER_LIBS)

if HAVE_CMOCKA
UNIT += tests/unit/test_minisig tests/unit/test_keeper_logic tests/unit/test_keeper \
	tests/unit/test_keeper_chat tests/unit/test_keeper_saga \
	tests/unit/test_keeper_drift \
	tests/unit/test_keeper_archive tests/unit/test_keeper_snapshot
tests_unit_test_keeper_logic_SOURCES = tests/unit/test_keeper_logic.c
tests_unit_test_keeper_logic_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_test_keeper_logic_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
tests_unit_test_minisig_SOURCES = tests/unit/test_minisig.c
tests_unit_test_minisig_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) \
	-I$(srcdir)/workers/keeper
tests_unit_test_minisig_LDADD = libkeeper.a $(SODIUM_LIBS) $(UNIT_LIBS)
# These start ./agentd-keeper itself.
KEEPER_FAKE = tests/unit/keeper_fake.c tests/unit/keeper_fake.h \
	tests/unit/keeper_peers.c tests/unit/keeper_steps.c \
	tests/unit/keeper_steps.h
tests_unit_test_keeper_SOURCES = tests/unit/test_keeper.c $(KEEPER_FAKE)
tests_unit_test_keeper_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_keeper_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
UNIT += tests/unit/test_keeper_pool
tests_unit_test_keeper_pool_SOURCES = tests/unit/test_keeper_pool.c \
	$(KEEPER_FAKE)
tests_unit_test_keeper_pool_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_keeper_pool_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
UNIT += tests/unit/test_keeper_move
tests_unit_test_keeper_move_SOURCES = tests/unit/test_keeper_move.c \
	$(KEEPER_FAKE)
tests_unit_test_keeper_move_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) \
	$(SODIUM_CFLAGS)
tests_unit_test_keeper_move_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
UNIT += tests/unit/test_keeper_verbs
tests_unit_test_keeper_verbs_SOURCES = tests/unit/test_keeper_verbs.c \
	$(KEEPER_FAKE)
tests_unit_test_keeper_verbs_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_keeper_verbs_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
tests_unit_test_keeper_chat_SOURCES = tests/unit/test_keeper_chat.c \
	$(KEEPER_FAKE)
tests_unit_test_keeper_chat_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_keeper_chat_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
tests_unit_test_keeper_archive_SOURCES = tests/unit/test_keeper_archive.c \
	$(KEEPER_FAKE)
tests_unit_test_keeper_archive_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_keeper_archive_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
tests_unit_test_keeper_snapshot_SOURCES = tests/unit/test_keeper_snapshot.c \
	$(KEEPER_FAKE)
tests_unit_test_keeper_snapshot_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_keeper_snapshot_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
tests_unit_test_keeper_drift_SOURCES = tests/unit/test_keeper_drift.c \
	$(KEEPER_FAKE)
tests_unit_test_keeper_drift_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_keeper_drift_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
tests_unit_test_keeper_saga_SOURCES = tests/unit/test_keeper_saga.c \
	$(KEEPER_FAKE)
tests_unit_test_keeper_saga_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_keeper_saga_LDADD = $(KEEPER_LIBS) $(UNIT_LIBS)
endif
