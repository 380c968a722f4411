/*
 * Upstream: calls the providers of language models.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: gateway, keeper, proxy, dialer, providers.
 *
 * It holds the providers' keys and speaks on sockets that the dialer made;
 * it can open nothing itself.
 */
#include <sys/types.h>

#include <string.h>
#include <unistd.h>

#include "conn.h"
#include "demo.h"
#include "exch.h"
#include "log.h"
#include "route.h"
#include "stream.h"
#include "tls.h"
#include "worker.h"

static void	init(void);
static void	take_fd(const char *, int);
static void	peer_down(struct peer *);
static void	peer_drained(struct peer *);
static int	h_route_put(struct peer *, struct msg *);
static int	h_route_drop(struct peer *, struct msg *);
static int	h_secret_put(struct peer *, struct msg *);
static int	h_secret_drop(struct peer *, struct msg *);
static void	done(struct peer *, uint64_t, unsigned, const char *);

static const struct msg_handler handlers[] = {
	{ MSG_ROUTE_PUT, h_route_put },
	{ MSG_ROUTE_DROP, h_route_drop },
	{ MSG_SECRET_PUT, h_secret_put },
	{ MSG_SECRET_DROP, h_secret_drop },
	{ MSG_LLM_OPEN, stream_h_open },
	{ MSG_LLM_BODY, stream_h_body },
	{ MSG_LLM_WINDOW, stream_h_window },
	{ MSG_CANCEL, stream_h_cancel },
	{ MSG_NONE, NULL }
};

static const struct worker_ops ops = {
	.proc = PROC_UPSTREAM,
	.handlers = handlers,
	.init = init,
	.fd = take_fd,
	.peer_down = peer_down,
	.peer_drained = peer_drained,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &ops);
}

static void
init(void)
{
	tls_init();
	route_init();
	stream_init(worker_base());
	conn_init(worker_base());
	exch_init(worker_base());
	demo_init(worker_base());
}

static void
take_fd(const char *role, int fd)
{
	if (strcmp(role, "ca") == 0)
		(void)tls_bundle(fd);	/* logged; providers then say why */
	else
		close(fd);
}

static void
peer_down(struct peer *p)
{
	if (peer_proc(p) == PROC_GATEWAY)
		stream_drop_all();
}

static void
peer_drained(struct peer *p)
{
	if (peer_proc(p) == PROC_GATEWAY)
		stream_drained();
}

static int
h_route_put(struct peer *p, struct msg *m)
{
	const struct m_provider_put *in = &m->u.provider_put;
	char error[256];

	if (!sys_is_id(in->provider_id) || in->allow_private > 1)
		return -1;
	if (route_put(in, error, sizeof(error)) == -1) {
		log_warnx("provider %s: %s", in->name, error);
		done(p, m->id, 422, error);
		return 0;
	}
	log_info("provider %s is ready", in->name);
	done(p, m->id, 200, "");
	stream_unpark();
	return 0;
}

static int
h_route_drop(struct peer *p, struct msg *m)
{
	route_drop(m->u.provider_id.provider_id);
	done(p, m->id, 200, "");
	return 0;
}

static int
h_secret_put(struct peer *p, struct msg *m)
{
	const struct m_secret *s = &m->u.secret;

	if (!sys_is_id(s->provider_id))
		return -1;
	if (secret_put(s->provider_id, s->api_key) == -1) {
		done(p, m->id, 507, "too many providers");
		return 0;
	}
	done(p, m->id, 200, "");
	stream_unpark();
	return 0;
}

static int
h_secret_drop(struct peer *p, struct msg *m)
{
	secret_drop(m->u.provider_id.provider_id);
	done(p, m->id, 200, "");
	return 0;
}

static void
done(struct peer *p, uint64_t id, unsigned status, const char *error)
{
	if (peer_done(p, id, status, "%s", error) == -1)
		log_warn("answer to %s", proc_name(peer_proc(p)));
}
