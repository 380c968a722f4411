# Manual pages of the supervisor, and the one made from the message table.
# SPDX-License-Identifier: ISC
dist_man_MANS += doc/agentd.8 doc/agentd.yaml.5
man_MANS = doc/agentd-messages.7
EXTRA_DIST += doc/messages.awk
CLEANFILES += doc/agentd-messages.7

doc/agentd-messages.7: common/msg.def doc/messages.awk
	$(AM_V_GEN)$(MKDIR_P) doc && $(AWK) -f $(srcdir)/doc/messages.awk \
	    $(srcdir)/common/msg.def >$@.tmp && mv $@.tmp $@
