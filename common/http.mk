# Build rules of the HTTP, SSE and JSON modules in common/.
# SPDX-License-Identifier: ISC
noinst_LIBRARIES += libhttp.a libjson.a

# Parsers and writers without IO come first: agent-link takes only those.
libhttp_a_SOURCES = common/http.h common/http_head.c common/http_url.c \
	common/http_chunk.c common/httpc.c common/httpc.h common/sse.c \
	common/sse.h common/jbuf.c common/jbuf.h common/jscan.c \
	common/jscan_key.c common/jscan_int.h \
	common/jiter.c common/jscan.h common/httpd.c common/httpd.h \
	common/httpd_int.h common/httpd_conn.c common/httpd_body.c \
	common/httpd_raw.c common/httpd_reply.c common/httpd_req.c common/httpd_route.c \
	common/httpd_route_find.c common/ws.c common/ws_hand.c common/ws.h \
	common/xframe.c common/xframe.h
libhttp_a_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)

libjson_a_SOURCES = common/json.c common/json.h
libjson_a_CPPFLAGS = $(AM_CPPFLAGS)

HTTP_TEST_LIBS = libhttp.a $(EVENT_LIBS) $(UNIT_LIBS)
if HAVE_CMOCKA
UNIT += tests/unit/test_domain tests/unit/test_http tests/unit/test_httpc tests/unit/test_sse \
	tests/unit/test_jscan tests/unit/test_httpd tests/unit/test_ws
tests_unit_test_domain_SOURCES = tests/unit/test_domain.c
tests_unit_test_domain_LDADD = libcommon.a $(UNIT_LIBS)
UNIT += tests/unit/test_xframe
tests_unit_test_xframe_SOURCES = tests/unit/test_xframe.c
tests_unit_test_xframe_LDADD = $(HTTP_TEST_LIBS)
tests_unit_test_ws_SOURCES = tests/unit/test_ws.c
tests_unit_test_ws_LDADD = $(HTTP_TEST_LIBS)
tests_unit_test_http_SOURCES = tests/unit/test_http.c
tests_unit_test_http_LDADD = $(HTTP_TEST_LIBS)
tests_unit_test_httpc_SOURCES = tests/unit/test_httpc.c
tests_unit_test_httpc_LDADD = $(HTTP_TEST_LIBS)
tests_unit_test_sse_SOURCES = tests/unit/test_sse.c
tests_unit_test_sse_LDADD = $(HTTP_TEST_LIBS)
tests_unit_test_jscan_SOURCES = tests/unit/test_jscan.c
tests_unit_test_jscan_LDADD = libjson.a $(JSON_LIBS) $(HTTP_TEST_LIBS)
tests_unit_test_httpd_SOURCES = tests/unit/test_httpd.c \
	tests/unit/httpd_util.c tests/unit/httpd_util.h
tests_unit_test_httpd_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS)
tests_unit_test_httpd_LDADD = $(HTTP_TEST_LIBS)
endif

# Fuzz targets are built from the sources, so that those are instrumented too.
FUZZ_FLAGS = -g -O1 -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=all
HTTP_PARSERS = common/http_head.c common/http_url.c common/http_chunk.c \
	common/httpc.c common/httpd_route_find.c
if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_domain tests/fuzz/fuzz_http tests/fuzz/fuzz_sse \
	tests/fuzz/fuzz_jscan tests/fuzz/fuzz_ws
tests_fuzz_fuzz_domain_SOURCES = tests/fuzz/fuzz_domain.c \
	common/domain.c
tests_fuzz_fuzz_domain_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_domain_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_domain_LDADD = $(BSD_LIBS)
noinst_PROGRAMS += tests/fuzz/fuzz_xframe
tests_fuzz_fuzz_xframe_SOURCES = tests/fuzz/fuzz_xframe.c \
	common/xframe.c
tests_fuzz_fuzz_xframe_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_xframe_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_ws_SOURCES = tests/fuzz/fuzz_ws.c common/ws.c
tests_fuzz_fuzz_ws_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_ws_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz_http.c $(HTTP_PARSERS)
tests_fuzz_fuzz_http_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_http_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_http_LDADD = $(BSD_LIBS)
tests_fuzz_fuzz_sse_SOURCES = tests/fuzz/fuzz_sse.c common/sse.c
tests_fuzz_fuzz_sse_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_sse_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_sse_LDADD = $(BSD_LIBS)
tests_fuzz_fuzz_jscan_SOURCES = tests/fuzz/fuzz_jscan.c common/jscan.c \
	common/jscan_key.c common/jiter.c
tests_fuzz_fuzz_jscan_CFLAGS = $(AM_CFLAGS) $(FUZZ_FLAGS)
tests_fuzz_fuzz_jscan_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_jscan_LDADD = $(BSD_LIBS)
endif
