/*
 * Routes: images.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

#define ALIAS(payload) \
	{ "alias", AT_PATH, FT_STR, true, 1, 128, O(payload, alias), NULL, \
	    "the image's alias" }

/* The three parts of a .minisig file; see minisign(1). */
static const struct field image_put[] = {
	ALIAS(image_put),
	{ "X-Minisign-Signature", AT_HEADER, FT_STR, false, 1, 128,
	    O(image_put, signature), NULL, "its second line" },
	{ "X-Minisign-Comment", AT_HEADER, FT_STR, false, 1, 512,
	    O(image_put, comment), NULL, "its trusted comment, with the word "
	    "alias:ALIAS" },
	{ "X-Minisign-Global", AT_HEADER, FT_STR, false, 1, 128,
	    O(image_put, global), NULL, "its last line" },
	{ "trust", AT_QUERY, FT_STR, false, 1, 16, O(image_put, trust), NULL,
	    "without a signature: built (here) or unsigned" },
};

static const struct field image_verify[] = { ALIAS(image_ref) };
static const struct field image_delete[] = { ALIAS(image_ref) };

static const struct field image_prune[] = {
	{ "age", AT_QUERY, FT_U32, false, 0, 1 << 30, O(image_prune, age),
	    "600", "only those that came in so many seconds ago" },
};

static const struct route rows[] = {
	{ { "GET", "/api/images", 0, 0 }, WHO_USER, MSG_IMAGE_LIST,
	    PROC_KEEPER, ANS_LIST, T_READ, NONE, NULL, NULL, 200,
	    "Container images", "array of images" },
	{ { "PUT", "/api/images/{alias}", 16 * GIB, HTTPD_ROUTE_RAW },
	    WHO_ADMIN, MSG_IMAGE_PUT, PROC_KEEPER, ANS_DOC, T_UPLOAD,
	    N(image_put), upload_start, NULL, 201,
	    "Upload an image under an alias", "the image" },
	{ { "DELETE", "/api/images/{alias}", 0, 0 }, WHO_ADMIN,
	    MSG_IMAGE_DELETE, PROC_KEEPER, ANS_DOC, T_ACTION,
	    N(image_delete), NULL, NULL, 200,
	    "Delete an image; what was made from it stays", "status, alias" },
	{ { "POST", "/api/images/{alias}/verify", 1 * KIB, 0 }, WHO_ADMIN,
	    MSG_IMAGE_VERIFY, PROC_KEEPER, ANS_LIST, T_UPLOAD,
	    N(image_verify), NULL, NULL, 200,
	    "Read all of an image again and compare", "array: the image" },
	{ { "POST", "/api/images/prune", 1 * KIB, 0 }, WHO_ADMIN,
	    MSG_IMAGE_PRUNE, PROC_KEEPER, ANS_LIST, T_ACTION, N(image_prune),
	    NULL, NULL, 200, "Delete images that have no alias and no agent",
	    "array of the deleted images" },
};

const struct route_set routes_image = { N(rows) };
