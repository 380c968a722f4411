# Build rules of etc/.
# SPDX-License-Identifier: ISC
ETC_IN = etc/agentd.yaml.in etc/agentd.service.in \
	etc/agentd-images.service.in etc/agentd.rc.in \
	etc/agentd.sysusers.in etc/agentd.tmpfiles.in
ETC_OUT = etc/agentd.yaml etc/agentd.service \
	etc/agentd-images.service etc/agentd.rc \
	etc/agentd.sysusers etc/agentd.tmpfiles

pkglibexec_SCRIPTS += etc/incus-setup etc/debian-source etc/mkusers
EXTRA_DIST += etc/incus-setup etc/debian-source etc/mkusers etc/packages \
	etc/images.list $(ETC_IN)
CLEANFILES += $(ETC_OUT)

# The sample; install-data-hook makes it the configuration if there is none.
# The unit, the rc script and the rest are for a package or quickstart to
# place: make install changes nothing outside of its prefix.
pkgdata_DATA = $(ETC_OUT)

etc_subst = $(MKDIR_P) etc && $(SED) \
	-e 's,@sbindir[@],$(sbindir),g' \
	-e 's,@bindir[@],$(bindir),g' \
	-e 's,@sysconfdir[@],$(sysconfdir),g' \
	-e 's,@localstatedir[@],$(localstatedir),g' \
	-e 's,@runstatedir[@],$(runstatedir),g' \
	-e 's,@pkgdatadir[@],$(pkgdatadir),g' \
	-e 's,@pkglibexecdir[@],$(pkglibexecdir),g' \
	-e 's,@user_prefix[@],$(user_prefix),g'

etc/agentd.yaml: etc/agentd.yaml.in Makefile
	$(AM_V_GEN)$(etc_subst) $(srcdir)/etc/agentd.yaml.in >$@
etc/agentd.service: etc/agentd.service.in Makefile
	$(AM_V_GEN)$(etc_subst) $(srcdir)/etc/agentd.service.in >$@
etc/agentd-images.service: etc/agentd-images.service.in Makefile
	$(AM_V_GEN)$(etc_subst) $(srcdir)/etc/agentd-images.service.in >$@
etc/agentd.rc: etc/agentd.rc.in Makefile
	$(AM_V_GEN)$(etc_subst) $(srcdir)/etc/agentd.rc.in >$@ && chmod +x $@
etc/agentd.sysusers: etc/agentd.sysusers.in Makefile
	$(AM_V_GEN)$(etc_subst) $(srcdir)/etc/agentd.sysusers.in >$@
etc/agentd.tmpfiles: etc/agentd.tmpfiles.in Makefile
	$(AM_V_GEN)$(etc_subst) $(srcdir)/etc/agentd.tmpfiles.in >$@

install-data-hook:
	$(MKDIR_P) "$(DESTDIR)$(sysconfdir)/agentd"
	test -f "$(DESTDIR)$(sysconfdir)/agentd/agentd.yaml" || \
	    $(INSTALL_DATA) etc/agentd.yaml \
	    "$(DESTDIR)$(sysconfdir)/agentd/agentd.yaml"
	test -f "$(DESTDIR)$(sysconfdir)/agentd/images.list" || \
	    $(INSTALL_DATA) $(srcdir)/etc/images.list \
	    "$(DESTDIR)$(sysconfdir)/agentd/images.list"
uninstall-hook:
	cmp -s $(srcdir)/etc/images.list \
	    "$(DESTDIR)$(sysconfdir)/agentd/images.list" && \
	    rm -f "$(DESTDIR)$(sysconfdir)/agentd/images.list" || :
	cmp -s etc/agentd.yaml \
	    "$(DESTDIR)$(sysconfdir)/agentd/agentd.yaml" && \
	    rm -f "$(DESTDIR)$(sysconfdir)/agentd/agentd.yaml" || :
	-rmdir "$(DESTDIR)$(sysconfdir)/agentd" 2>/dev/null
