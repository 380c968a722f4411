/*
 * Steps that the tests of keeper share.
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

#include "keeper_steps.h"
#include "sys.h"

struct fake_answer	 ans;
char			 agent[ID_LEN + 1], channel[ID_LEN + 1];
char			 message[ID_LEN + 1];

int
step_setup(void **state)
{
	(void)state;
	fake_start();
	return 0;
}

int
step_teardown(void **state)
{
	(void)state;
	fake_stop();
	return 0;
}

/* The id that follows a key in the last answer. */
void
step_pick(const char *key, char out[ID_LEN + 1])
{
	char		 want[64];
	const char	*s;

	(void)snprintf(want, sizeof(want), "\"%s\":\"", key);
	s = strstr(ans.text, want);
	assert_non_null(s);
	(void)strlcpy(out, s + strlen(want), ID_LEN + 1);
	assert_true(sys_is_id(out));
}

void
step_ask_deploy(const char *name, const char *key)
{
	step_ask_deploy_net(name, key, "");
}

void
step_ask_deploy_net(const char *name, const char *key, const char *network)
{
	struct m_agent_deploy	 d;

	memset(&d, 0, sizeof(d));
	d.name = name;
	d.framework = "pi";
	d.model = "demo";
	d.idempotency_key = key;
	d.network = network;
	fake_ask(MSG_AGENT_DEPLOY, &d, &ans);
}

uint32_t
step_get(const char *slug)
{
	struct m_agent_ref	 r = { { NULL, 0 }, slug };

	fake_ask(MSG_AGENT_GET, &r, &ans);
	return ans.status;
}

uint32_t
step_act(const char *slug, const char *action)
{
	struct m_agent_action	 a = { { NULL, 0 }, slug, action, 0, 0 };

	fake_ask(MSG_AGENT_ACTION, &a, &ans);
	return ans.status;
}

uint32_t
step_deploy_status(const char *slug)
{
	struct m_agent_watch	 w = { { NULL, 0 }, slug, 0 };

	fake_ask(MSG_DEPLOY_STATUS, &w, &ans);
	return ans.status;
}

/* An agent that runs and is connected. */
void
step_deploy(void)
{
	static char	 instance[32];

	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	step_pick("agent_id", agent);
	assert_true(fake_until("create"));
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	assert_int_equal(step_get("alpha"), 200);
	step_pick("chat_channel_id", channel);
	(void)snprintf(instance, sizeof(instance), "agentd-%.12s", agent);
	script.instance = instance;
	script.instance_agent = agent;
}

/* Nothing of the agent may be left, whatever failed. */
void
step_nothing(void)
{
	int	 i;

	for (i = 0; i < 200 && step_get("alpha") != 404; i++)
		fake_run(5);
	assert_int_equal(step_get("alpha"), 404);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM agent"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM channel"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM job WHERE "
	    "status = 'deploying'"), 0);
}

uint32_t
step_post(const char *text, const char *key)
{
	struct m_chat_post	 c = { { NULL, 0 }, channel, text, key };

	fake_ask(MSG_CHAT_POST, &c, &ans);
	if (ans.status == 201)
		step_pick("id", message);
	return ans.status;
}

bool
step_has(const char *text)
{
	return strstr(ans.text, text) != NULL;
}
