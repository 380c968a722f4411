# Build rules of link/: agent-link, static, so that it runs in any image.
# SPDX-License-Identifier: ISC
pkglibexec_PROGRAMS += agent-link
LINK_MODULES = link/ack.c link/ack.h link/bridge.c link/bridge.h \
	link/chatreply.c link/chatreply.h link/child.c link/child.h \
	link/conf.c link/conf.h link/fconn.c link/fconn.h link/forward.c \
	link/forward.h link/gw.c link/gw.h link/inbox.c link/inbox.h \
	link/jpath.c link/jpath.h link/kind_http.c link/kind_rpc.c \
	link/outq.c link/outq.h link/turn.c link/turn.h link/util.c \
	link/util.h
agent_link_SOURCES = link/main.c $(LINK_MODULES)
agent_link_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
agent_link_LDADD = libhttp.a libcommon.a $(EVENT_LIBS) $(BSD_LIBS)
if SANITIZE
agent_link_LDFLAGS = $(AM_LDFLAGS)
else
# Sanitizers cannot be linked statically. libevent can resolve names, which
# the linker warns of; the link never does.
agent_link_LDFLAGS = -static -Wl,-z,relro -Wl,--as-needed -Wl,--no-warnings
agent_link_LDADD += -lmd
endif
