/*
 * What the modules of the container worker share: operations, the state of
 * Incus, checks.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 */
#ifndef CONTAINER_H
#define CONTAINER_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "incus.h"
#include "msg.h"

struct jbuf;
struct worker_conf;

#define CT_OPS_MAX	64	/* operations at one time */
#define CT_PATH_LEN	512
#define CT_TIMEOUT	60	/* seconds, for a call without its own */
#define CT_SOCK_TARGET	"/opt/agentd/sock"

/* The user ids of an instance, as the host sees them. */
struct idmap {
	uint32_t	base;
	uint32_t	count;
};

/* ---- valid.c: strings on their way to Incus ---- */

/* [a-z]([a-z0-9-]*[a-z0-9])?, 1..63 bytes: a host name, so Incus takes it. */
bool	valid_instance(const char *);
/* [A-Za-z0-9]([A-Za-z0-9._-])*, 1..128 bytes, no "..". */
bool	valid_alias(const char *);
/* [A-Za-z0-9]([A-Za-z0-9._-])*, 1..63 bytes, no "..". */
bool	valid_snapshot(const char *);
/* YYYYMMDDTHHMMSS */
bool	valid_stamp(const char *);
/* [a-z0-9-]{1,63}: names of projects, pools and nodes. */
bool	valid_name(const char *);
/* 64 lower-case hex digits. */
bool	valid_fingerprint(const char *);
/*
 * A clean absolute path whose last part is the agent's id, directly under
 * agents_dir unless that is "".
 */
bool	valid_sock_dir(const char *path, const char *agents_dir,
	    const char *agent_id);
/* The uid range in the text of volatile.idmap.current: 0, or -1. */
int	idmap_parse(const char *, struct idmap *);
/* Seconds since the epoch of an RFC 3339 time in UTC; 0 if it is none. */
double	time_parse(const char *);

/* ---- env.c: Incus as we need it ---- */

/* NULL if Incus is ready, else a sentence with the reason. */
typedef void (*env_fn)(const char *why, void *);

void	env_conf(const struct worker_conf *);
/* Calls back once it is known whether Incus is ready; at once if it is. */
void	env_ensure(env_fn, void *);
/* An operation found Incus away: look again before the next one. */
void	env_lost(void);
const char	*env_project(void);
const char	*env_pool(void);
/* "" until it is known. */
const char	*env_pool_driver(void);
/* Can the pool limit the size of a root disk? */
bool	env_pool_sized(void);
void	env_tell_pool(void);
const char	*env_node(void);
const char	*env_agents_dir(void);

/* ---- events.c: what happens to instances without being asked for ---- */

/* Once; and after each configuration. */
void	events_init(void);
void	events_conf(void);
/* keeper is there (again): it has missed what there was. */
void	events_keeper_up(void);

/* ---- op.c: one request of keeper ---- */

struct op {
	TAILQ_ENTRY(op)	 entry;
	uint64_t	 id;		/* of keeper's request */
	const char	*verb;		/* for the log */
	char		 instance[64];	/* "": none; one operation at a time */
	uint64_t	 started;	/* sys_now_ms() */
	bool		 running;
	bool		 orphan;	/* nobody waits for the answer */
	void		(*run)(struct op *);
	void		(*free)(struct op *);	/* of what is inside; or NULL */
};

/*
 * A new operation of that size (struct op comes first in it), all zero.
 * NULL if there are too many: the request is then answered already.
 */
void	*op_new(size_t, uint64_t id, const char *verb, const char *instance,
	    void (*run)(struct op *), void (*freefn)(struct op *));
/* Runs it when Incus is ready and its instance is free. */
void	 op_start(struct op *);
/* Answers with CT_DONE, frees it, lets the next one run. */
void	 op_done(struct op *, unsigned int status, const struct idmap *,
	    const char *, ...) __attribute__((format(printf, 4, 5)));
/* The same with the status and the error of a reply; what may be NULL. */
void	 op_fail(struct op *, const struct incus_reply *, const char *what);
/* A row before the end. */
void	 op_row(struct op *, uint32_t type, const void *payload);
/* An answer without an operation. */
void	 op_refuse(uint64_t id, unsigned int status, const char *, ...)
	    __attribute__((format(printf, 3, 4)));
/* keeper went away: nobody waits for what is under way. */
void	 op_orphan_all(void);
/* The operation of that kind that keeper has lost, NULL if there is none. */
struct op	*op_orphan(const char *verb, const char *instance);
/* It answers this request from now on. */
void	 op_take(struct op *, uint64_t id);
size_t	 op_count(void);

/* ---- gate.c: creations take turns ---- */

typedef void (*gate_fn)(void *);

struct gate {
	STAILQ_ENTRY(gate) entry;
	gate_fn		 fn;
	void		*arg;
	bool		 inside;
};

/* Calls fn now, or when those before have left. */
void	gate_enter(struct gate *, gate_fn, void *);
/*
 * The one inside has asked Incus for this instance, from an image: the next
 * may enter as soon as Incus has given it its range.
 */
void	gate_posted(const char *instance);
/* Incus tells that this one is made, now or a moment ago. */
void	gate_created(const char *instance);
/* Nothing if it has left already. */
void	gate_leave(struct gate *);

/* ---- busy.c: what else Incus is at work on ---- */

enum busy_with {
	BUSY_INSTANCE,		/* the one that is named */
	BUSY_CREATION,		/* an instance comes to be, whichever */
	BUSY_IMAGE		/* an image comes to be, of whatever */
};

/*
 * The id of such an operation in the metadata of a list of operations; or
 * NULL.
 */
const char *busy_find(struct json_object *, enum busy_with,
	    const char *instance);
/* The list for it; the end of one of them. */
void	busy_list(incus_fn, void *);
void	busy_end(const char *id, incus_fn, void *);
/*
 * Calls with status 200 when there is none, else with why that is unknown,
 * or 504 when there still is one after some minutes.
 */
void	busy_wait(enum busy_with, const char *instance, incus_fn, void *);

/* ---- instance.c: what an answer says of an instance ---- */

struct instance {
	char		 status[32];
	char		 agent_id[33];
	bool		 ours;		/* tagged with our node id */
	struct idmap	 map;		/* count 0: not known */
};

/* Reads the metadata of an instance. */
void	instance_read(struct json_object *, struct instance *);
/* Is it this agent's? */
bool	instance_is(const struct instance *, const char *agent_id);
/* A call to "/1.0/instances/NAME"; body may be NULL. */
void	instance_call(const char *method, const char *name,
	    struct jbuf *body, unsigned int timeout, incus_fn, void *);
/* Asks for an instance, or for all of our project. */
void	instance_get(const char *name, incus_fn, void *);
void	instances_get(incus_fn, void *);
/*
 * Reads what instance_get() brought.  False if that is not an instance of
 * this agent: the operation is answered then.
 */
bool	instance_of(struct op *, const char *name, const char *agent_id,
	    const struct incus_reply *, struct instance *);
/* Changes its state: start, stop. */
void	instance_state(const char *name, const char *action,
	    unsigned int timeout, bool force, incus_fn, void *);

/* ---- destroy.c ---- */

typedef void (*destroy_fn)(const struct incus_reply *, void *);

/*
 * Stops and deletes an instance of that agent; one that is still being made
 * is waited for, none at all is a success, another's is a 409.
 */
void	destroy_run(const char *instance, const char *agent_id,
	    unsigned int timeout, destroy_fn, void *);

/* ---- host.c: the addresses of this machine ---- */

/* Before the sandbox: opens what tells of them. Fatal. */
void	host_init(void);
/*
 * Calls for each IPv4 address, as it is now, and the bits of its net; -1 if
 * they cannot be read.
 */
typedef void (*host_fn)(uint32_t, unsigned int bits, void *);
int	host_addresses(host_fn, void *);

/* ---- bridge.c: the network of agents that may reach the internet ---- */

/* Of our node; it lives beside all projects. */
const char	*bridge_name(void);
/*
 * Makes sure of the bridge and of its rules, which name the host's addresses
 * as they are now.
 */
void		 bridge_ensure(incus_fn, void *);
/* The first three numbers of its addresses, "10.77.3."; "" if it is not made. */
const char	*bridge_net(void);
/* While it is held it is not removed. */
void		 bridge_hold(bool);
/* An address of the host has come or gone: the rules must follow. */
void		 bridge_host_changed(void);
/* Removes it if no instance uses it; nobody waits for that. */
void		 bridge_sweep(void);

/* ---- limits.c ---- */

#define MEMORY_MIN	(16ULL * 1024 * 1024)
#define MEMORY_MAX	(1ULL << 50)
#define CPUS_MAX	4096
#define PROCESSES_MAX	4194304

/*
 * The name of the first number that is out of bounds, or NULL.  A disk of 0
 * has no size.
 */
const char	*limits_bad(uint64_t memory, uint32_t cpus,
		    uint32_t processes, uint64_t disk);
/*
 * The size of a root disk on which an agent may write that many bytes; 0: it
 * has none.  base is what its image takes up unpacked: btrfs counts shared
 * blocks against the limit, but not as the instance's own.
 */
uint64_t	 limits_root_size(uint64_t disk, uint64_t base);
/* The root disk as a member of devices. */
void		 limits_root(struct jbuf *, uint64_t disk, uint64_t base);
/* The bytes of an image unpacked, from what Incus says of it. */
uint64_t	 limits_image_base(struct json_object *image);
/* The same as an instance has noted it. */
uint64_t	 limits_base(struct json_object *instance);
/* A member of config or devices that is a number. */
void		 kv(struct jbuf *, const char *, uint64_t);
/* ---- temp.c: what is made for a moment ---- */

#define CT_TEMP_SNAPSHOT	"agentd-tmp-"

struct jbuf;

/* The property of an image that is for the export or import of that id. */
void	temp_property(struct jbuf *, const char *id);
/* A snapshot of ours that nobody has asked for. */
bool	temp_snapshot(const char *name);

/* ---- the verbs ---- */

void	net_start(uint64_t id, const struct m_ct_net *);
void	limits_start(uint64_t id, const struct m_ct_limits *);
void	usage_start(uint64_t id, const struct m_ct_ref *);

void	create_start(uint64_t id, const struct m_ct_create *);
void	copy_start(uint64_t id, const struct m_ct_copy *);
void	snap_start(uint64_t id, const struct m_ct_snap *);
void	probe_start(uint64_t id, const struct m_ct_ref *);
void	tag_start(uint64_t id, const struct m_ct_tag *);
void	action_start(uint64_t id, const struct m_ct_action *);
void	adopt_start(uint64_t id, const struct m_ct_adopt *);
void	list_start(uint64_t id);
void	images_start(uint64_t id);
void	image_verify_start(uint64_t id, const struct m_ct_image_ref *);
void	image_delete_start(uint64_t id, const struct m_ct_image_ref *);
void	image_prune_start(uint64_t id, const struct m_ct_image_prune *);
void	temp_drop_start(uint64_t id, const struct m_ct_temp *);
/* Both take over the fd. */
void	backup_start(uint64_t id, const struct m_ct_backup *, int fd);
void	temp_image_start(uint64_t id, const struct m_ct_temp *, int fd);
/* Is it of a backup that goes on?  That removes it itself when it is done. */
bool	backup_snapshot(const char *name);
bool	backup_id(const char *id);
/* Takes over the fd. */
void	image_put_start(uint64_t id, const struct m_ct_image *, int fd);

/* ---- exec.c: commands in an instance ---- */

/* Takes over the fd, on which the frames of xframe.h are spoken. */
void	exec_start(uint64_t id, const struct m_ct_exec *, int fd);
/* keeper went away: who may do what is not known any more. */
void	exec_end_all(void);

#endif /* CONTAINER_H */
