# Build rules of the database module in common/.
# SPDX-License-Identifier: ISC
noinst_LIBRARIES += libdb.a
libdb_a_SOURCES = common/db.h common/db.c
libdb_a_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)

if HAVE_CMOCKA
UNIT += tests/unit/test_db
tests_unit_test_db_SOURCES = tests/unit/test_db.c
tests_unit_test_db_LDADD = libdb.a libcommon.a $(SQLITE_LIBS) $(UNIT_LIBS)
endif
