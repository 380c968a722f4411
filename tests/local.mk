# Build rules of tests/: one program per unit test module, no root needed.
# SPDX-License-Identifier: ISC
#
# A module's test is added as:
#   UNIT += tests/unit/test_foo
#   tests_unit_test_foo_SOURCES = tests/unit/test_foo.c
#   tests_unit_test_foo_LDADD = libcommon.a $(UNIT_LIBS)
# in the local.mk of the folder that owns the module, inside
# "if HAVE_CMOCKA".
#
# What is no C is distributed whole.
EXTRA_DIST += tests/bench tests/e2e tests/fuzz/corpus tests/fuzz/run \
	tests/peers tests/style
dist-hook:
	@# Not in EXTRA_DIST: it would be taken for the target of this name.
	cp -p $(srcdir)/check $(distdir)/check
	@# What a build in this tree has put beside them.
	find $(distdir)/tests \( -name __pycache__ -o -name .deps \) \
	    -exec rm -rf {} +
	find $(distdir)/tests \( -name .dirstamp -o -name '*.o' \) -delete
	rm -f $(distdir)/tests/e2e/drive

UNIT_LIBS = $(CMOCKA_LIBS) $(BSD_LIBS)
check_PROGRAMS += $(UNIT)
TESTS += $(UNIT)
