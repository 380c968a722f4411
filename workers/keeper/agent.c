/*
 * The registry of agents.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "limits.h"
#include "log.h"
#include "network.h"
#include "prepare.h"
#include "setting.h"
#include "state.h"

#define SLUG_TRIES	100	/* NAME-2 to NAME-100 */

RB_HEAD(id_tree, agent);
RB_HEAD(slug_tree, agent);

static struct {
	struct id_tree		 ids;
	struct slug_tree	 slugs;
} reg = { RB_INITIALIZER(&reg.ids), RB_INITIALIZER(&reg.slugs) };

static int
id_cmp(const struct agent *a, const struct agent *b)
{
	return strcmp(a->id, b->id);
}

static int
slug_cmp(const struct agent *a, const struct agent *b)
{
	return strcmp(a->slug, b->slug);
}

RB_GENERATE_INTERNAL(id_tree, agent, by_id, id_cmp,
    static __attribute__((unused)))
RB_GENERATE_INTERNAL(slug_tree, agent, by_slug, slug_cmp,
    static __attribute__((unused)))

static const char *const states[] = {
	[AGENT_DEPLOYING] = "deploying",
	[AGENT_RUNNING] = "running",
	[AGENT_STOPPED] = "stopped",
	[AGENT_DELETING] = "deleting",
	[AGENT_FAILED] = "failed",
	[AGENT_PAUSED] = "paused",
};

static enum agent_state
state_by_name(const char *name)
{
	size_t	 i;

	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(states[i], name) == 0)
			return (enum agent_state)i;
	return AGENT_FAILED;
}

const char *
agent_status(const struct agent *a)
{
	if (a->state == AGENT_RUNNING && a->asleep)
		return "asleep";
	return states[a->state];
}

/*
 * Who is not in a tree must not be taken out of it: that would lose others.
 * So callers look before they insert, in the same turn of the loop.
 */
static void
insert(struct agent *a)
{
	if (RB_INSERT(id_tree, &reg.ids, a) != NULL ||
	    RB_INSERT(slug_tree, &reg.slugs, a) != NULL)
		fatalx("agent %s: its id or its name is taken", a->slug);
}

struct agent *
agent_from_row(struct db_stmt *s)
{
	struct agent	*a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		fatal("agent");
	(void)strlcpy(a->id, db_text(s, 0), sizeof(a->id));
	(void)strlcpy(a->owner, db_text(s, 1), sizeof(a->owner));
	(void)strlcpy(a->slug, db_text(s, 2), sizeof(a->slug));
	(void)strlcpy(a->display_name, db_text(s, 3),
	    sizeof(a->display_name));
	(void)strlcpy(a->framework, db_text(s, 4), sizeof(a->framework));
	(void)strlcpy(a->model, db_text(s, 5), sizeof(a->model));
	(void)strlcpy(a->emoji, db_text(s, 6), sizeof(a->emoji));
	(void)strlcpy(a->color, db_text(s, 7), sizeof(a->color));
	a->state = state_by_name(db_text(s, 8));
	a->memory = (uint64_t)db_int(s, 9);
	a->cpus = (uint32_t)db_int(s, 10);
	a->disk = (uint64_t)db_int(s, 11);
	(void)strlcpy(a->instance, db_text(s, 12), sizeof(a->instance));
	(void)strlcpy(a->channel_id, db_text(s, 13), sizeof(a->channel_id));
	a->uid_base = (uint32_t)db_int(s, 14);
	a->uid_count = (uint32_t)db_int(s, 15);
	a->next_event = (uint64_t)db_int(s, 16);
	a->created_at = db_double(s, 17);
	a->started_at = db_double(s, 18);
	a->last_seen = a->seen_saved = db_double(s, 19);
	(void)strlcpy(a->fallbacks, db_text(s, 20), sizeof(a->fallbacks));
	a->processes = (uint32_t)db_int(s, 21);
	(void)strlcpy(a->network, db_text(s, 22), sizeof(a->network));
	a->idle = (uint32_t)db_int(s, 23);
	a->asleep = db_int(s, 24) != 0;
	(void)strlcpy(a->paused_by, db_text(s, 25), sizeof(a->paused_by));
	(void)strlcpy(a->snapshots, db_text(s, 26), sizeof(a->snapshots));
	(void)strlcpy(a->image, db_text(s, 27), sizeof(a->image));
	(void)strlcpy(a->reason, db_text(s, 28), sizeof(a->reason));
	(void)strlcpy(a->domains, db_text(s, 29), sizeof(a->domains));
	return a;
}

void
agent_load(void)
{
	struct db_stmt	*s;
	struct agent	*a;
	int64_t		 n;
	int		 rc;

	s = db_query(keeper_db(), "SELECT " AGENT_COLS " FROM agent", "");
	if (s == NULL)
		fatalx("cannot read the agents");
	while ((rc = db_step(s)) == 1)
		insert(agent_from_row(s));
	db_end(s);
	if (rc == -1)
		fatalx("cannot read the agents");
	RB_FOREACH(a, id_tree, &reg.ids)
		if (db_get_int(keeper_db(), &n, "SELECT count(*) FROM outbox "
		    "WHERE agent_id = ?1", "s", a->id) == 1)
			a->queued = (uint32_t)n;
}

struct agent *
agent_by_id(const char *id)
{
	struct agent	 key;

	if (strlcpy(key.id, id, sizeof(key.id)) >= sizeof(key.id))
		return NULL;
	return RB_FIND(id_tree, &reg.ids, &key);
}

struct agent *
agent_by_slug(const char *slug)
{
	struct agent	 key;

	if (strlcpy(key.slug, slug, sizeof(key.slug)) >= sizeof(key.slug))
		return NULL;
	return RB_FIND(slug_tree, &reg.slugs, &key);
}

bool
agent_may(const struct pass *who, const struct agent *a)
{
	return who->role == ROLE_ADMIN ||
	    (who->role == ROLE_USER && strcmp(who->principal, a->owner) == 0);
}

struct agent *
agent_visible(const struct pass *who, const char *slug)
{
	struct agent	*a;

	a = agent_by_slug(slug);
	return a != NULL && agent_may(who, a) ? a : NULL;
}

struct agent *
agent_request(const struct msg *m, const struct msg_bytes *pass,
    const char *slug, struct pass *who)
{
	struct agent	*a;

	if (auth_request(m, pass, ROLE_USER, who) == -1)
		return NULL;
	if ((a = agent_visible(who, slug)) == NULL)
		reply_error(client_of(m), 404, "there is no agent %s", slug);
	return a;
}

struct agent *
agent_first(void)
{
	return RB_MIN(slug_tree, &reg.slugs);
}

struct agent *
agent_next(struct agent *a)
{
	return RB_NEXT(slug_tree, &reg.slugs, a);
}

void
agent_add(struct agent *a)
{
	insert(a);
	(void)db_exec(keeper_db(), "INSERT INTO agent (" AGENT_COLS ") VALUES "
	    "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
	    "?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, "
	    "?27, ?28, ?29, ?30)", "sssssssssquqssuuqdddsusuusssss", a->id,
	    a->owner, a->slug, a->display_name, a->framework, a->model,
	    a->emoji, a->color, states[a->state], (int64_t)a->memory, a->cpus,
	    (int64_t)a->disk, a->instance, a->channel_id, a->uid_base,
	    a->uid_count, (int64_t)a->next_event, a->created_at,
	    a->started_at, a->last_seen, a->fallbacks, a->processes,
	    a->network, a->idle, (uint32_t)a->asleep, a->paused_by,
	    a->snapshots, a->image, a->reason, a->domains);
}

void
agent_forget(struct agent *a)
{
	bridge_close(a);
	prepare_forget(a);
	turn_forget_agent(a);
	RB_REMOVE(id_tree, &reg.ids, a);
	RB_REMOVE(slug_tree, &reg.slugs, a);
	free(a);
}

void
agent_rename(struct agent *a, const char *slug)
{
	RB_REMOVE(slug_tree, &reg.slugs, a);
	(void)strlcpy(a->slug, slug, sizeof(a->slug));
	if (RB_INSERT(slug_tree, &reg.slugs, a) != NULL)
		fatalx("agent %s: the name is taken", a->slug);
}

void
agent_delete_row(const struct agent *a)
{
	if (a->channel_id[0] != '\0')
		chat_channel_delete(a->channel_id);
	(void)db_exec(keeper_db(), "DELETE FROM agent WHERE id = ?1", "s",
	    a->id);
}

int
agent_save(const struct agent *a)
{
	return db_exec(keeper_db(), "UPDATE agent SET slug = ?2, "
	    "display_name = ?3, model = ?4, emoji = ?5, color = ?6, "
	    "status = ?7, memory = ?8, cpus = ?9, disk = ?10, "
	    "instance = ?11, channel_id = ?12, uid_base = ?13, "
	    "uid_count = ?14, started_at = ?15, last_seen = ?16, "
	    "fallbacks = ?17, processes = ?18, network = ?19, idle = ?20, "
	    "asleep = ?21, paused_by = ?22, snapshots = ?23, image = ?24, "
	    "reason = ?25, domains = ?26 WHERE id = ?1",
	    "sssssssquqssuuddsusuusssss", a->id,
	    a->slug, a->display_name, a->model, a->emoji, a->color,
	    states[a->state], (int64_t)a->memory, a->cpus, (int64_t)a->disk,
	    a->instance, a->channel_id, a->uid_base, a->uid_count,
	    a->started_at, a->last_seen, a->fallbacks, a->processes,
	    a->network, a->idle, (uint32_t)a->asleep, a->paused_by,
	    a->snapshots, a->image, a->reason, a->domains) == 1 ? 0 : -1;
}

void
agent_json(struct jbuf *jb, const struct agent *a)
{
	char	 why[300];

	jb_obj(jb);
	jb_kstr(jb, "id", a->id);
	jb_kstr(jb, "name", a->slug);
	jb_kstr(jb, "display_name", a->display_name);
	jb_kstr(jb, "framework", a->framework);
	jb_kstr(jb, "model", a->model[0] != '\0' ? a->model : NULL);
	setting_fallbacks_json(jb, a);
	jb_kstr(jb, "color", a->color);
	jb_kstr(jb, "emoji", a->emoji[0] != '\0' ? a->emoji : NULL);
	jb_kstr(jb, "status", agent_shown(a));
	jb_kstr(jb, "reason", agent_why(a, why, sizeof(why)));
	jb_kbool(jb, "paused", a->state == AGENT_PAUSED);
	jb_kstr(jb, "paused_by", a->paused_by[0] != '\0' ? a->paused_by :
	    NULL);
	jb_key(jb, "presence");
	jb_obj(jb);
	jb_kbool(jb, "connected", a->sub != NULL);
	jb_key(jb, "last_seen");
	if (a->last_seen > 0)
		jb_double(jb, a->last_seen);
	else
		jb_null(jb);
	jb_end(jb);
	jb_kint(jb, "queued", a->queued);
	jb_kint(jb, "memory_limit", (int64_t)a->memory);
	jb_kint(jb, "cpu_limit", a->cpus);
	jb_kint(jb, "process_limit", limits_processes(a));
	jb_kint(jb, "disk_limit", (int64_t)a->disk);
	jb_kint(jb, "idle", a->idle);
	jb_kstr(jb, "snapshots", a->snapshots[0] != '\0' ? a->snapshots :
	    "off");
	disk_json(jb, a);
	network_json(jb, a);
	jb_kstr(jb, "chat_channel_id",
	    a->channel_id[0] != '\0' ? a->channel_id : NULL);
	jb_kstr(jb, "channel_id",
	    a->channel_id[0] != '\0' ? a->channel_id : NULL);
	jb_kstr(jb, "container", a->instance);
	jb_kstr(jb, "owner", a->owner);
	jb_key(jb, "created_at");
	jb_double(jb, a->created_at);
	jb_key(jb, "started_at");
	if (a->started_at > 0)
		jb_double(jb, a->started_at);
	else
		jb_null(jb);
	jb_end(jb);
}

bool
agent_lock(struct agent *a, const char *verb, struct client c)
{
	if (a->job != NULL)
		reply_error(c, 409, "agent %s is being deployed", a->slug);
	else if (a->doing != NULL)
		reply_error(c, 409, "agent %s: a %s is under way", a->slug,
		    a->doing);
	else {
		a->doing = verb;
		return true;
	}
	return false;
}

void
agent_unlock(struct agent *a)
{
	a->doing = NULL;
}

void
agent_counts(uint32_t *total, uint32_t *running, uint32_t *connected)
{
	struct agent	*a;

	*total = *running = *connected = 0;
	RB_FOREACH(a, id_tree, &reg.ids) {
		(*total)++;
		*running += a->state == AGENT_RUNNING;
		*connected += a->sub != NULL;
	}
}

/* Letters and digits of ASCII stay, a run of others becomes one dash. */
int
agent_slug(const char *name, char out[SLUG_MAX + 1])
{
	size_t	 n = 0;
	bool	 dash = false;

	for (; *name != '\0' && n < SLUG_MAX; name++) {
		unsigned char	 c = (unsigned char)*name;

		if (c >= 0x80 || !isalnum(c)) {
			dash = n > 0;
			continue;
		}
		if (dash && n + 1 < SLUG_MAX)
			out[n++] = '-';
		else if (dash)
			break;
		dash = false;
		out[n++] = (char)tolower(c);
	}
	out[n] = '\0';
	return n > 0 ? 0 : -1;
}

/* Words that stand where a slug stands in paths of the API and of traces. */
bool
agent_slug_reserved(const char *slug)
{
	static const char *const words[] = { "archived", "bulk",
	    "containers", "deploy", "import", "_unknown_", "default" };
	size_t	 i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(slug, words[i]) == 0)
			return true;
	return false;
}

int
agent_free_slug(const char *name, char out[SLUG_MAX + 1])
{
	char	 base[SLUG_MAX + 1], tail[8];
	size_t	 keep;
	int	 n;

	if (agent_slug(name, base) == -1)
		return 400;
	(void)strlcpy(out, base, SLUG_MAX + 1);
	for (n = 2; agent_by_slug(out) != NULL || agent_slug_reserved(out); n++) {
		if (n > SLUG_TRIES)
			return 409;
		(void)snprintf(tail, sizeof(tail), "-%d", n);
		keep = SLUG_MAX - strlen(tail);
		if (strlen(base) < keep)
			keep = strlen(base);
		/* The cut must not leave two dashes. */
		while (base[keep - 1] == '-')
			keep--;
		(void)snprintf(out, SLUG_MAX + 1, "%.*s%s", (int)keep, base,
		    tail);
	}
	return 0;
}

bool
agent_color_ok(const char *c)
{
	size_t	 i;

	if (c[0] == '\0')
		return true;
	if (c[0] != '#' || strlen(c) != 7)
		return false;
	for (i = 1; i < 7; i++)
		if (!isxdigit((unsigned char)c[i]))
			return false;
	return true;
}

int
h_agent_list(struct peer *p, struct msg *m)
{
	struct client	 c = client_of(m);
	struct pass	 who;
	struct agent	*a;
	struct jbuf	 jb;

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_USER, &who) == -1)
		return 0;
	jbuf_init(&jb, 16384);
	RB_FOREACH(a, slug_tree, &reg.slugs) {
		if (!agent_may(&who, a))
			continue;
		jbuf_reset(&jb);
		agent_json(&jb, a);
		if (reply_row(c, "", 0, &jb) == -1)
			break;
	}
	jbuf_free(&jb);
	reply_list_end(c, a == NULL);
	return 0;
}

int
h_agent_get(struct peer *p, struct msg *m)
{
	const struct m_agent_ref	*in = &m->u.agent_ref;
	struct pass			 who;
	struct agent			*a;
	struct jbuf			 jb;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	jbuf_init(&jb, 16384);
	agent_json(&jb, a);
	reply_doc(client_of(m), 200, &jb);
	return 0;
}
