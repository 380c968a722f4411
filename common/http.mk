# Build rules of the HTTP, SSE and JSON modules in common/.
# SPDX-License-Identifier: ISC
noinst_LIBRARIES += libhttp.a libjson.a

# Parsers and writers without IO come first: agent-link takes only those.
libhttp_a_SOURCES = common/http.h common/http_head.c common/http_url.c \
	common/http_chunk.c common/httpc.c common/httpc.h common/sse.c \
	common/sse.h common/jbuf.c common/jbuf.h common/jscan.c \
	common/jiter.c common/jscan.h common/httpd.c common/httpd.h \
	common/httpd_int.h common/httpd_conn.c common/httpd_body.c \
	common/httpd_reply.c common/httpd_req.c common/httpd_route.c
libhttp_a_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)

libjson_a_SOURCES = common/json.c common/json.h
libjson_a_CPPFLAGS = $(AM_CPPFLAGS)
