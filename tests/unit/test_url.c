/*
 * Tests the reading of providers' URLs and the head of a request to them.
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "request.h"
#include "route.h"
#include "url.h"

/* What secret_find() gives to the module under test. */
static const char *key;

const char *
secret_find(const char *id)
{
	(void)id;
	return key;
}

static const struct {
	const char	*text;
	bool		 tls;
	const char	*host;
	uint16_t	 port;
	const char	*path;
	const char	*authority;
} good[] = {
	{ "https://api.example.com/v1", true, "api.example.com", 443, "/v1",
	    "api.example.com" },
	{ "https://api.example.com", true, "api.example.com", 443, "",
	    "api.example.com" },
	{ "https://api.example.com/", true, "api.example.com", 443, "",
	    "api.example.com" },
	{ "https://API.Example.COM:8443/a/b/", true, "api.example.com", 8443,
	    "/a/b", "api.example.com:8443" },
	{ "http://127.0.0.1:11434/v1", false, "127.0.0.1", 11434, "/v1",
	    "127.0.0.1:11434" },
	{ "http://localhost:80", false, "localhost", 80, "", "localhost" },
	{ "https://h:80/", true, "h", 80, "", "h:80" },
	{ "http://[::1]:8080/v1", false, "::1", 8080, "/v1", "[::1]:8080" },
	{ "https://[2606:4700::1]", true, "2606:4700::1", 443, "",
	    "[2606:4700::1]" },
	{ "https://h:65535/x-y_z~1", true, "h", 65535, "/x-y_z~1", "h:65535" },
};

static const char *const bad[] = {
	"", "h", "ftp://h", "HTTPS://h", "https:/h", "https://", "https:///x",
	"https://:443", "https://h:", "https://h:/x", "https://h:0",
	"https://h:65536", "https://h:080", "https://h:+1", "https://h:1x",
	"https://h:999999", "https://u@h", "https://u:p@h", "https://h@x",
	"https://h?x", "https://h#x", "https://h/x?y", "https://h/x#y",
	"https://h\\x", "https://h /", "https://h/ ", "https://h/\t",
	"https://h/%2e", "https://h//x", "https://h/../x", "https://h/.",
	"https://h/.x", "https://h/x\r\nA: b", "https://h\r\n", "https://[",
	"https://[]", "https://[::1", "https://[::1]x", "https://[::1]x:1",
	"https://[fe80::1%25lo]", "https://[g::1]", "https://::1",
	"https://a_b", "https://\xc3\xa4", "https://h/\xc3\xa4",
};

static void
test_good(void **state)
{
	const char *why;
	struct url u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (url_parse(good[i].text, &u, &why) == -1)
			fail_msg("%s: %s", good[i].text, why);
		assert_int_equal(u.tls, good[i].tls);
		assert_string_equal(u.host, good[i].host);
		assert_int_equal(u.port, good[i].port);
		assert_string_equal(u.path, good[i].path);
		assert_string_equal(u.authority, good[i].authority);
	}
}

static void
test_bad(void **state)
{
	const char *why;
	struct url u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		if (url_parse(bad[i], &u, &why) == 0)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_non_null(why);
	}
}

static void
test_long(void **state)
{
	char text[1100];
	const char *why;
	struct url u;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "https://", 8);
	text[8 + 255] = '\0';
	assert_int_equal(url_parse(text, &u, &why), 0);
	text[8 + 255] = 'a';
	text[8 + 256] = '\0';
	assert_int_equal(url_parse(text, &u, &why), -1);
	text[8 + 256] = 'a';
	text[9] = '/';
	text[9 + 511] = '\0';
	assert_int_equal(url_parse(text, &u, &why), 0);
	text[9 + 511] = 'a';
	text[9 + 512] = '\0';
	assert_int_equal(url_parse(text, &u, &why), -1);
}

static char *
head(const char *secret, bool sse)
{
	struct evbuffer *out = evbuffer_new();
	struct route r = { .id = "x" };
	const char *why;
	ssize_t len;
	char *text;

	assert_int_equal(url_parse("https://h:8443/v1", &r.url, &why), 0);
	key = secret;
	len = request_head(&r, "/chat/completions", sse, 12345, out);
	assert_int_equal(len == -1 ? 0 : len, evbuffer_get_length(out));
	text = calloc(1, evbuffer_get_length(out) + 1);
	assert_non_null(text);
	evbuffer_remove(out, text, evbuffer_get_length(out));
	evbuffer_free(out);
	return text;
}

static void
test_head(void **state)
{
	char *text;

	(void)state;
	text = head("sk-1", true);
	assert_int_equal(strncmp(text, "POST /v1/chat/completions HTTP/1.1\r\n"
	    "Host: h:8443\r\n", 50), 0);
	assert_non_null(strstr(text, "\r\nAuthorization: Bearer sk-1\r\n"));
	assert_non_null(strstr(text, "\r\nContent-Length: 12345\r\n"));
	assert_non_null(strstr(text, "\r\nAccept-Encoding: identity\r\n"));
	assert_non_null(strstr(text, "\r\nAccept: text/event-stream"));
	assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
	free(text);
	text = head("", false);
	assert_null(strstr(text, "Authorization"));
	assert_non_null(strstr(text, "\r\nAccept: application/json\r\n"));
	free(text);
	text = head(NULL, false);
	assert_null(strstr(text, "Authorization"));
	free(text);
}

/* A key with a line end would be a header of its own. */
static void
test_head_bad_key(void **state)
{
	char *text;

	(void)state;
	text = head("sk\r\nX: y", false);
	assert_string_equal(text, "");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_head_bad_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
