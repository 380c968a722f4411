/*
 * Import: an agent from a file, checked before anything is made of it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, mover, proxy, container.
 *
 * mover spools the file and says who has signed it; if he is trusted, mover
 * looks inside and hands over typed values.  From these an agent of the
 * importer is made that may nothing its owner could not give it: models that
 * there are here, limits within the bounds, no network.  Then its files
 * become an image, and a deploy like any other begins (move_job.c).
 */
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "move.h"
#include "movefile.h"
#include "worker.h"

#define ASK_MS		20000
#define SWEEP_S		15
#define SWEEPS		20		/* after that Incus has given up, too */

struct import {
	TAILQ_ENTRY(import) entry;
	struct import_use use;		/* first: its id */
	struct client	 client;
	struct pass	 who;
	char		 name[129];	/* as asked for, or "" */
	char		 model[257];
	char		 network[17];
	char		 trust[65];
	char		 signer[65];
	char		 base[129];	/* what its slug is made of */
	bool		 ours;		/* this server has signed it */
	struct agent	*agent;		/* made up; NULL: not yet, or deployed */
	char		 wanted[4400];	/* models to be tried, one a line */
	const char	*next;		/* of them */
	char		 tried[257];
	uint64_t	 image_size;
	bool		 deploying;	/* a job has it now */
	bool		 given_up;
};

static struct event	*sweep;
static unsigned		 sweeps;		/* to come */

static TAILQ_HEAD(, import) imports = TAILQ_HEAD_INITIALIZER(imports);

static void	 try_model(struct import *);

static struct import *
find(const char *id)
{
	struct import	*i;

	TAILQ_FOREACH(i, &imports, entry)
		if (strcmp(i->use.id, id) == 0)
			return i;
	return NULL;
}

struct import_use *
import_use(const char *id)
{
	struct import	*i = find(id);

	return i != NULL ? &i->use : NULL;
}

/* ---- the end ---- */

static void
on_dropped(struct msg *m, void *arg)
{
	(void)arg;
	if (m != NULL && m->type == MSG_CT_DONE &&
	    m->u.ct_done.status >= 300)
		log_warnx("image of an import: %s", m->u.ct_done.error);
}

static void
drop_image(const char *id)
{
	struct m_ct_temp	 m = { .id = id, .size = 0 };

	(void)peer_request(worker_peer(PROC_CONTAINER), MSG_CT_TEMP_DROP, &m,
	    0, on_dropped, NULL);
}

static void
import_free(struct import *i)
{
	struct m_move_id	 m = { i->use.id };

	(void)peer_send(worker_peer(PROC_MOVER), MSG_MOVE_DROP, &m);
	if (i->use.fingerprint[0] != '\0')
		drop_image(i->use.id);
	TAILQ_REMOVE(&imports, i, entry);
	free(i->agent);
	free(i);
}

void
import_end(const char *id)
{
	struct import	*i = find(id);

	if (i != NULL)
		import_free(i);
}

static void __attribute__((format(printf, 3, 4)))
refuse(struct import *i, uint32_t status, const char *fmt, ...)
{
	char	 text[600];
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warnx("import: %u %s", status, text);
	audit_add(&i->who, "AGENT_IMPORT", i->signer, status, text);
	reply_error(i->client, status, "%s", text);
	import_free(i);
}

/* An answer that is good; else the import has ended. */
static bool
good(struct import *i, const struct msg *m, uint32_t type)
{
	const char	*error;
	uint32_t	 status = answer_status(m, LOST_MOVE, &error);

	if (i->given_up) {
		status = 499;
		error = "the client has left";
	} else if (m != NULL && m->type == type)
		return true;
	refuse(i, status < 400 || status > 599 ? 502 : status, "%s", error);
	return false;
}

/* ---- the image of its files ---- */

/* The deploy answers the client; its job ends with import_end(). */
static void
begin(struct import *i)
{
	struct agent	*a = i->agent;

	/* Id and name were free when the file was read: that is long ago. */
	if (!import_id_free(a->id))
		deploy_id(a);
	if (agent_free_slug(i->base, a->slug) != 0) {
		refuse(i, 409, "name: there are too many agents of that "
		    "name");
		return;
	}
	i->agent = NULL;
	i->deploying = true;
	audit_add(&i->who, "AGENT_IMPORT", a->slug, 202, i->signer);
	deploy_begin(i->client, &i->who, a, JOB_BACKUP, i->use.id, "");
}

static void
on_image(struct msg *m, void *arg)
{
	struct import	*i = arg;

	if (m != NULL && m->more) {
		if (m->type == MSG_CT_IMAGE_ROW)
			(void)strlcpy(i->use.fingerprint,
			    m->u.ct_image_row.fingerprint,
			    sizeof(i->use.fingerprint));
		return;
	}
	if (m != NULL && m->type == MSG_CT_DONE &&
	    m->u.ct_done.status < 300 && !i->given_up &&
	    i->use.fingerprint[0] != '\0')
		begin(i);
	else
		(void)good(i, m, MSG_NONE);
}

static void
on_pipe(struct msg *m, void *arg)
{
	struct import		*i = arg;
	struct m_ct_temp	 t = { .id = i->use.id,
	    .size = i->image_size };
	int			 fd;

	if (!good(i, m, MSG_MOVE_PIPE))
		return;
	fd = m->fd;
	m->fd = -1;
	if (fd == -1)
		refuse(i, 502, "mover gave no pipe");
	else if (peer_request_fd(worker_peer(PROC_CONTAINER),
	    MSG_CT_IMAGE_TEMP, &t, fd, 0, on_image, i) == 0)
		(void)good(i, NULL, MSG_NONE);
}

static void
ask_image(struct import *i)
{
	struct m_move_id	 m = { i->use.id };

	if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_IMAGE, &m, ASK_MS,
	    on_pipe, i) == 0)
		(void)good(i, NULL, MSG_NONE);
}

/* ---- models: what there is here of what it had ---- */

static void
models_done(struct import *i)
{
	struct agent	*a = i->agent;
	size_t		 n;
	char		*p;

	if (a->fallbacks[0] == '\0' && i->wanted[0] != '\0') {
		for (p = i->wanted; *p != '\0'; p++)
			if (*p == '\n')
				*p = ' ';
		refuse(i, 409, "none of the models of the agent is here (%s): "
		    "add a provider that has one, or name another with "
		    "--model", i->wanted);
		return;
	}
	/* The first is the model, the others its fallbacks. */
	n = strcspn(a->fallbacks, "\n");
	(void)snprintf(a->model, sizeof(a->model), "%.*s", (int)n,
	    a->fallbacks);
	memmove(a->fallbacks, a->fallbacks + n + (a->fallbacks[n] == '\n'),
	    strlen(a->fallbacks + n + (a->fallbacks[n] == '\n')) + 1);
	ask_image(i);
}

static void
on_model(struct msg *m, void *arg)
{
	struct import	*i = arg;
	struct agent	*a = i->agent;

	if (m == NULL || m->type != MSG_DONE || i->given_up ||
	    m->u.done.status >= 500) {
		(void)good(i, m, MSG_NONE);
		return;
	}
	if (m->u.done.status < 300) {
		if (a->fallbacks[0] != '\0')
			(void)strlcat(a->fallbacks, "\n",
			    sizeof(a->fallbacks));
		(void)strlcat(a->fallbacks, i->tried, sizeof(a->fallbacks));
	}
	try_model(i);
}

static void
try_model(struct import *i)
{
	struct m_model_check	 m = { .model = i->tried };
	size_t			 n;

	while (*i->next == '\n')
		i->next++;
	if (*i->next == '\0') {
		models_done(i);
		return;
	}
	n = strcspn(i->next, "\n");
	(void)snprintf(i->tried, sizeof(i->tried), "%.*s", (int)n, i->next);
	i->next += n;
	if (peer_request_hold(worker_peer(PROC_PROXY), MSG_MODEL_CHECK, &m,
	    -1, ASK_MS, on_model, i) == 0)
		(void)good(i, NULL, MSG_NONE);
}

/* ---- the agent, from what mover has read ---- */

static void
take_record(struct import *i, const struct m_move_record *r)
{
	const struct framework	*f = framework_get(r->framework);
	char			 slug[SLUG_MAX + 1], names[512];
	int			 status;

	(void)strlcpy(i->use.server, r->server, sizeof(i->use.server));
	(void)strlcpy(i->use.channel_id, r->channel_id,
	    sizeof(i->use.channel_id));
	i->use.events = r->events;
	i->use.messages = r->messages;
	i->image_size = r->image_size;
	if (f == NULL) {
		refuse(i, 409, "the agent runs on %s, which is not in the "
		    "catalog here; there are: %s", r->framework,
		    framework_names(names, sizeof(names)));
		return;
	}
	(void)strlcpy(i->base, i->name[0] != '\0' ? i->name : r->slug,
	    sizeof(i->base));
	status = agent_free_slug(i->base, slug);
	if (status != 0) {
		refuse(i, (uint32_t)status, status == 400 ? "name: needs at "
		    "least one letter or digit of ASCII" : "name: there are "
		    "too many agents of that name");
		return;
	}
	i->agent = movedoc_agent(&i->who, r, slug, i->name, i->network,
	    import_may_keep(&i->who, r, i->ours));
	if (i->model[0] != '\0')
		(void)strlcpy(i->wanted, i->model, sizeof(i->wanted));
	else
		(void)snprintf(i->wanted, sizeof(i->wanted), "%s\n%s",
		    r->model, r->fallbacks);
	i->next = i->wanted;
	/* Without a model of its own it may use what there is, as before. */
	if (strcmp(i->wanted, "\n") == 0)
		i->wanted[0] = '\0';
	try_model(i);
}

static void
on_record(struct msg *m, void *arg)
{
	struct import	*i = arg;

	if (good(i, m, MSG_MOVE_RECORD))
		take_record(i, &m->u.move_record);
}

/* ---- the signature ---- */

static void
on_signed(struct msg *m, void *arg)
{
	struct import			*i = arg;
	const struct m_move_sign	*s;
	struct m_move_id		 next = { i->use.id };

	if (!good(i, m, MSG_MOVE_SIGNED))
		return;
	s = &m->u.move_sign;
	if (s->key.len != SERVER_KEY_LEN ||
	    s->signature.len != SIGNATURE_LEN) {
		refuse(i, 502, "mover gave no signature");
		return;
	}
	sys_hex(i->signer, s->key.ptr, SERVER_KEY_LEN);
	if (serverkey_verify(MF_SIGNED, s->manifest.ptr, s->manifest.len,
	    s->key.ptr, s->signature.ptr) == -1) {
		refuse(i, 422, "the signature of the file is wrong");
		return;
	}
	i->ours = serverkey_public() != NULL &&
	    memcmp(serverkey_public(), s->key.ptr, SERVER_KEY_LEN) == 0;
	if (!i->ours && strcmp(i->trust, i->signer) != 0 &&
	    !serverkey_listed(worker_conf()->trusted_exporters, i->signer)) {
		refuse(i, 403, "the file is signed with the key %s of another "
		    "server, which is not trusted here: put it under "
		    "trusted_exporters in agentd.yaml, or trust it this once "
		    "(--trust-key)", i->signer);
		return;
	}
	/* No time-out: it reads all of it. */
	if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_CHECK, &next, 0,
	    on_record, i) == 0)
		(void)good(i, NULL, MSG_NONE);
}

/* ---- the request ---- */

int
h_agent_import(struct peer *p, struct msg *m)
{
	const struct m_agent_import	*in = &m->u.agent_import;
	struct client			 c = client_of(m);
	struct m_move_in		 out;
	struct import			*i;
	struct pass			 who;
	int				 fd = m->fd;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1 ||
	    !import_may(c, &who, in))
		return 0;
	if ((i = calloc(1, sizeof(*i))) == NULL)
		fatal("import");
	m->fd = -1;
	sys_id(i->use.id);
	i->client = c;
	i->who = who;
	(void)strlcpy(i->name, in->name, sizeof(i->name));
	(void)strlcpy(i->model, in->model, sizeof(i->model));
	(void)strlcpy(i->network, in->network, sizeof(i->network));
	(void)strlcpy(i->trust, in->trust_key, sizeof(i->trust));
	TAILQ_INSERT_TAIL(&imports, i, entry);
	out.id = i->use.id;
	out.size = in->size;
	/* As long as the client takes; mover and front see that he goes on. */
	if (peer_request_hold(worker_peer(PROC_MOVER), MSG_MOVE_IN, &out, fd,
	    0, on_signed, i) == 0)
		(void)good(i, NULL, MSG_NONE);
	return 0;
}

static void
abandon(struct import *i)
{
	struct m_move_id	 m = { i->use.id };

	if (i->deploying)
		return;
	i->given_up = true;
	i->client.id = 0;
	(void)peer_send(worker_peer(PROC_MOVER), MSG_MOVE_DROP, &m);
}

bool
import_cancel(struct client c)
{
	struct import	*i;

	TAILQ_FOREACH(i, &imports, entry)
		if (i->client.id == c.id && i->client.gen == c.gen) {
			abandon(i);
			return true;
		}
	return false;
}

void
import_front_down(void)
{
	struct import	*i;

	TAILQ_FOREACH(i, &imports, entry)
		abandon(i);
}

/* ---- what an earlier keeper or container has left in Incus ---- */

/*
 * Incus goes on with what it was asked by one who was killed, and its image
 * appears a while later: so it is looked for more than once.
 */
static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval	 next = { SWEEP_S, 0 };

	(void)fd;
	(void)what;
	(void)arg;
	if (TAILQ_EMPTY(&imports) && !export_active())
		drop_image("");
	if (sweeps > 0) {
		sweeps--;
		(void)evtimer_add(sweep, &next);
	}
}

void
import_container_up(void)
{
	if (sweep == NULL &&
	    (sweep = evtimer_new(worker_base(), on_sweep, NULL)) == NULL)
		fatal("timer");
	sweeps = SWEEPS;
	on_sweep(-1, 0, NULL);
}
