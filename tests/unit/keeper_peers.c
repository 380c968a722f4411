/*
 * What the other workers answer to keeper, by script, and a log of what they
 * were asked.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "keeper_fake.h"
#include "peer.h"

struct fake_script	 script;

static struct {
	char		 log[65536];
	uint64_t	 held_create, held_policy, held_list;
	struct peer	*container, *proxy;
	char		 request[33], created[33];
	bool		 ready;
} pp;

void
peers_reset(void)
{
	memset(&pp, 0, sizeof(pp));
}

bool
peers_ready(void)
{
	return pp.ready;
}

static void	 note(const char *, ...) __attribute__((format(printf, 1, 2)));

static void
note(const char *fmt, ...)
{
	size_t	 len = strlen(pp.log);
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(pp.log + len, sizeof(pp.log) - len, fmt, ap);
	va_end(ap);
	(void)strlcat(pp.log, " ", sizeof(pp.log));
}

const char *
fake_request(void)
{
	return pp.request;
}

const char *
fake_log(void)
{
	return pp.log;
}

void
fake_log_clear(void)
{
	pp.log[0] = '\0';
}

/* The status to answer with to what was just noted; 0: not at all. */
static uint32_t
scripted(const char *word, uint32_t status)
{
	if (script.hold != NULL && strcmp(script.hold, word) == 0)
		return 0;
	if (script.fail != NULL && strcmp(script.fail, word) == 0)
		return script.fail_status;
	return status;
}

static void
done(struct peer *p, const struct msg *m, uint32_t status)
{
	if (status == 0)
		return;
	(void)peer_done(p, m->id, status, status >= 300 ? "scripted" : NULL);
}

static void
ct_done(struct peer *p, uint64_t id, uint32_t status)
{
	struct m_ct_done	 d = { status, status >= 300 ? "scripted" : "",
	    1000000, 65536 };

	if (status != 0)
		(void)peer_reply_id(p, id, MSG_CT_DONE, false, &d, -1);
}

static int
f_listen(struct peer *p, struct msg *m)
{
	note("listen");
	done(p, m, scripted("listen", script.listen));
	return 0;
}

static int
f_unlisten(struct peer *p, struct msg *m)
{
	note("unlisten");
	done(p, m, scripted("unlisten", script.unlisten));
	return 0;
}

static int
f_status(struct peer *p, struct msg *m)
{
	struct m_worker_row	 w = { "front", "running", 1, 5000, 0, "", 2,
	    0 };

	(void)peer_reply(p, m, MSG_WORKER_ROW, false, &w);
	return 0;
}

static int
f_ok(struct peer *p, struct msg *m)
{
	done(p, m, 200);
	return 0;
}

static int
f_policy(struct peer *p, struct msg *m)
{
	note("policy");
	pp.proxy = p;
	if (script.hold_policy)
		pp.held_policy = m->id;
	else
		done(p, m, scripted("policy", script.policy));
	return 0;
}

static int
f_drop(struct peer *p, struct msg *m)
{
	note("drop");
	done(p, m, scripted("drop", script.drop));
	return 0;
}

static int
f_ignore(struct peer *p, struct msg *m)
{
	(void)p;
	(void)m;
	return 0;
}

static int
f_create(struct peer *p, struct msg *m)
{
	note(m->u.ct_create.again ? "create:again" : "create");
	(void)strlcpy(pp.request, m->u.ct_create.request, sizeof(pp.request));
	(void)strlcpy(pp.created, m->u.ct_create.agent_id,
	    sizeof(pp.created));
	pp.container = p;
	if (script.hold_create)
		pp.held_create = m->id;
	else
		ct_done(p, m->id, script.create);
	return 0;
}

const char *
fake_created(void)
{
	return pp.created;
}

static int
f_adopt(struct peer *p, struct msg *m)
{
	note("adopt:%s", m->u.ct_adopt.slug);
	ct_done(p, m->id, scripted("adopt", script.adopt));
	return 0;
}

static int
f_images(struct peer *p, struct msg *m)
{
	struct m_ct_image_row	 row;

	note("images");
	memset(&row, 0, sizeof(row));
	row.alias = "agentd-pi";
	row.fingerprint = script.image;
	if (script.image[0] != '\0')
		(void)peer_reply(p, m, MSG_CT_IMAGE_ROW, true, &row);
	ct_done(p, m->id, scripted("images", 200));
	return 0;
}

void
fake_release(void)
{
	struct msg	 m = { .id = pp.held_policy };

	if (pp.held_create != 0)
		ct_done(pp.container, pp.held_create, script.create);
	if (pp.held_policy != 0)
		done(pp.proxy, &m, script.policy);
	pp.held_create = pp.held_policy = 0;
	if (pp.held_list == 0 || script.hold_list)
		return;
	ct_done(pp.container, pp.held_list, 200);
	pp.held_list = 0;
}

static int
f_action(struct peer *p, struct msg *m)
{
	const char	*verb = m->u.ct_action.verb;

	note("%s", verb);
	ct_done(p, m->id, scripted(verb, strcmp(verb, "destroy") == 0 ?
	    script.destroy : script.action));
	return 0;
}

static int
f_probe(struct peer *p, struct msg *m)
{
	note("probe");
	ct_done(p, m->id, scripted("probe", 200));
	return 0;
}

static int
f_snap(struct peer *p, struct msg *m)
{
	const struct m_ct_snap	*in = &m->u.ct_snap;
	struct m_ct_snap_row	 row = { "kept", 1e9, 0, 0 };
	char			 word[32];

	(void)snprintf(word, sizeof(word), "snap:%s", in->verb);
	note("%s", word);
	if (strcmp(in->verb, "list") == 0)
		(void)peer_reply(p, m, MSG_CT_SNAP_ROW, true, &row);
	ct_done(p, m->id, scripted(word, 200));
	return 0;
}

static int
f_tag(struct peer *p, struct msg *m)
{
	const char	*word = m->u.ct_tag.archived[0] != '\0' ?
	    "tag:archived" : "tag:live";

	note("%s", word);
	ct_done(p, m->id, scripted(word, 200));
	return 0;
}

static int
f_limits(struct peer *p, struct msg *m)
{
	note("limits");
	ct_done(p, m->id, scripted("limits", 200));
	return 0;
}

static int
f_net(struct peer *p, struct msg *m)
{
	note("net:%u", m->u.ct_net.card);
	ct_done(p, m->id, scripted("net", 200));
	return 0;
}

static int
f_copy(struct peer *p, struct msg *m)
{
	note("copy:%s", m->u.ct_copy.snapshot);
	ct_done(p, m->id, scripted("copy", 200));
	return 0;
}

static int
f_model(struct peer *p, struct msg *m)
{
	char	 word[64];

	(void)snprintf(word, sizeof(word), "model:%s", m->u.model_check.model);
	note("%s", word);
	done(p, m, scripted(word, scripted("model", 200)));
	return 0;
}

static int
f_list(struct peer *p, struct msg *m)
{
	struct m_ct_row	 row = { script.instance_agent, script.instance,
	    script.instance_status, 1000000, 65536 };

	note("list");
	pp.container = p;
	if (script.hold_list) {
		pp.held_list = m->id;
		return 0;
	}
	if (script.instance[0] != '\0')
		(void)peer_reply(p, m, MSG_CT_ROW, true, &row);
	ct_done(p, m->id, 200);
	return 0;
}

/* It runs until keeper or container ends. */
static int
f_exec(struct peer *p, struct msg *m)
{
	struct m_none	 none;

	note("exec");
	(void)peer_reply(p, m, MSG_CT_EXEC_OPEN, true, &none);
	return 0;
}

static int
f_move(struct peer *p, struct msg *m)
{
	return script.move == NULL ? 0 : script.move(p, m);
}

/* What exports have left: nothing. */
static int
f_temp_drop(struct peer *p, struct msg *m)
{
	ct_done(p, m->id, 200);
	return 0;
}

static int
f_held(struct peer *p, struct msg *m)
{
	struct m_held	 row = { script.held[fake_proc(p)], "somebody", 1 };

	if (row.agent_id != NULL)
		(void)peer_reply(p, m, MSG_HELD, true, &row);
	done(p, m, 200);
	return 0;
}

static int
f_conf(struct peer *p, struct msg *m)
{
	static const char *const names[] = { "deploying", "running",
	    "stopped", "deleting", "failed", "paused", "warm" };

	(void)p;
	note("conf:%s", names[m->u.agent_conf.state]);
	return 0;
}

static int
f_turn(struct peer *p, struct msg *m)
{
	(void)p;
	note("turn:%u:%.32s", m->u.turn.open, m->u.turn.trace_id);
	return 0;
}

static int
f_gone(struct peer *p, struct msg *m)
{
	(void)p;
	(void)m;
	note("gone");
	return 0;
}

static int
f_trace(struct peer *p, struct msg *m)
{
	note("trace:%s", m->u.trace_event.kind);
	if (!m->more)
		done(p, m, script.trace);
	return 0;
}

static int
f_more(struct peer *p, struct msg *m)
{
	if (!m->more) {
		note("trace-end");
		done(p, m, script.trace);
	}
	return 0;
}

static int
f_provider(struct peer *p, struct msg *m)
{
	note("provider");
	done(p, m, script.provider);
	return 0;
}

static int
f_secret(struct peer *p, struct msg *m)
{
	note("secret:%s", m->u.secret.api_key);
	done(p, m, script.secret);
	return 0;
}

static int
f_undrop(struct peer *p, struct msg *m)
{
	note("provider-drop");
	done(p, m, script.drop);
	return 0;
}

static int
f_bad(struct peer *p, struct msg *m)
{
	(void)p;
	fail_msg("keeper says that %s broke a rule: %s: %s",
	    proc_name((enum proc)m->u.peer_bad.proc),
	    msg_name(m->u.peer_bad.type), m->u.peer_bad.reason);
	return 0;
}

/* Limits, usage and network: all is as keeper wants it. */
static int
f_ct(struct peer *p, struct msg *m)
{
	ct_done(p, m->id, 200);
	return 0;
}

static int
f_ready(struct peer *p, struct msg *m)
{
	(void)p;
	assert_string_equal(m->u.ready.table, msg_table_digest());
	pp.ready = true;
	return 0;
}

const struct msg_handler peers_handlers[] = {
	{ MSG_READY, f_ready },
	{ MSG_PEER_BAD, f_bad },
	{ MSG_AGENT_LISTEN, f_listen },
	{ MSG_AGENT_UNLISTEN, f_unlisten },
	{ MSG_STATUS, f_status },
	{ MSG_LOG_SET, f_ok },
	{ MSG_AGENT_POLICY, f_policy },
	{ MSG_AGENT_DROP, f_drop },
	{ MSG_PASS_KEY, f_ignore },
	{ MSG_PROVIDER_PUT, f_provider },
	{ MSG_PROVIDER_DROP, f_undrop },
	{ MSG_CT_CREATE, f_create },
	{ MSG_HELD_LIST, f_held },
	{ MSG_CT_ADOPT, f_adopt },
	{ MSG_CT_IMAGES, f_images },
	{ MSG_CT_ACTION, f_action },
	{ MSG_CT_LIST, f_list },
	{ MSG_CT_PROBE, f_probe },
	{ MSG_CT_SNAP, f_snap },
	{ MSG_CT_TAG, f_tag },
	{ MSG_CT_LIMITS, f_limits },
	{ MSG_CT_COPY, f_copy },
	{ MSG_MODEL_CHECK, f_model },
	{ MSG_CT_TEMP_DROP, f_temp_drop },
	{ MSG_CT_EXEC, f_exec },
	{ MSG_CT_IMAGE_TEMP, f_move },
	{ MSG_MOVE_IN, f_move },
	{ MSG_MOVE_CHECK, f_move },
	{ MSG_MOVE_IMAGE, f_move },
	{ MSG_MOVE_CHAT, f_move },
	{ MSG_MOVE_TRACE, f_move },
	{ MSG_MOVE_DROP, f_move },
	{ MSG_TRACE_IMPORT, f_move },
	{ MSG_CT_USAGE, f_ct },
	{ MSG_CT_NET, f_net },
	{ MSG_AGENT_CONF, f_conf },
	{ MSG_AGENT_NET, f_ignore },
	{ MSG_TURN, f_turn },
	{ MSG_AGENT_GONE, f_gone },
	{ MSG_TRACE_AGENT, f_ok },
	{ MSG_TRACE_EVENT, f_trace },
	{ MSG_TRACE_MORE, f_more },
	{ MSG_SECRET_PUT, f_secret },
	{ MSG_SECRET_DROP, f_undrop },
	{ MSG_NONE, NULL },
};
