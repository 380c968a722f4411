/*
 * Routes: chat.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

static const struct field chat_post[] = {
	{ "channel_id", AT_BODY, FT_STR, true, 1, 32,
	    O(chat_post, channel_id), NULL, "see /api/chat/channels" },
	{ "content", AT_BODY, FT_STR, true, 1, 32768, O(chat_post, content),
	    NULL, "the text" },
	IDEMPOTENCY(chat_post),
};

static const struct field chat_list[] = {
	{ "member", AT_QUERY, FT_STR, false, 1, 64, O(chat_list, member),
	    NULL, "channels of this user or agent only" },
};

#define CHANNEL(payload) \
	{ "id", AT_PATH, FT_ID, true, 32, 32, O(payload, channel_id), NULL, \
	    "the channel's id" }

static const struct field chat_history[] = {
	CHANNEL(chat_history),
	{ "before", AT_QUERY, FT_TIME, false, 0, 1LL << 40,
	    O(chat_history, before), NULL, "only older messages" },
	{ "limit", AT_QUERY, FT_U32, false, 1, 500, O(chat_history, limit),
	    "50", "at most so many, the newest ones" },
};

static const struct field chat_watch[] = {
	CHANNEL(chat_watch),
	{ "Last-Event-ID", AT_HEADER, FT_U64, false, 0, INT64_MAX,
	    O(chat_watch, last_event_id), NULL, "resume after this event" },
};

static const struct route rows[] = {
	{ { "POST", "/api/chat/messages", 256 * KIB, 0 }, WHO_USER,
	    MSG_CHAT_POST, PROC_KEEPER, ANS_DOC, T_WRITE, N(chat_post), NULL,
	    NULL, 201, "Say something in a channel", "the message" },
	{ { "GET", "/api/chat/channels", 0, 0 }, WHO_USER, MSG_CHAT_CHANNELS,
	    PROC_KEEPER, ANS_LIST, T_READ, N(chat_list), NULL, "channels",
	    200, "Channels, oldest first", "channels" },
	{ { "GET", "/api/chat/channels/{id}/messages", 0, 0 }, WHO_USER,
	    MSG_CHAT_HISTORY, PROC_KEEPER, ANS_LIST, T_READ,
	    N(chat_history), NULL, "messages", 200,
	    "The newest messages of a channel, oldest of them first",
	    "messages" },
	{ { "GET", "/api/chat/channels/{id}/events", 0, 0 }, WHO_USER,
	    MSG_CHAT_WATCH, PROC_KEEPER, ANS_SSE, T_READ, N(chat_watch),
	    NULL, NULL, 200, "What happens in a channel, live",
	    "event stream" },
};

const struct route_set routes_chat = { N(rows) };
