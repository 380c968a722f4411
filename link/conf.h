/*
 * Configuration of agent-link.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_CONF_H
#define LINK_CONF_H

#include <netinet/in.h>

#include <stddef.h>

#define CONF_DEFAULT	"/etc/agentd-link.conf"
#define CONF_MAXARGS	64	/* words of command */

enum link_kind {
	KIND_NONE = 0,
	KIND_HTTP = 0x1,
	KIND_RPC = 0x2,
	KIND_ACP = 0x4,
	KIND_EXEC = 0x8
};

/* What a command of kind exec says on its stdout. */
enum exec_format {
	FORMAT_TEXT,		/* the answer */
	FORMAT_JSONL		/* our records, see kind_exec.c */
};

/* How it is given the message. */
enum exec_input {
	INPUT_STDIN,		/* all of it, then the end */
	INPUT_ARGUMENT		/* the last word, after "--" */
};

/* A plain http:// URL on the loopback; path is "" when the key is unset. */
struct conf_url {
	struct sockaddr_in addr;
	char path[256];
};

struct conf {
	enum link_kind kind;
	char runtime[64];
	char socket[104];		/* fits sun_path */
	char *command;			/* owned; argv points into it */
	char *argv[CONF_MAXARGS + 1];	/* NULL-terminated */
	int argc;
	enum exec_format format;
	enum exec_input input;
	char resume[64];		/* option before the channel's id; "" */
	struct conf_url url;
	struct conf_url ready;
	char token_file[256];		/* "" = no bearer */
	char model[128];
	int turn_timeout;		/* seconds */
	int ready_timeout;		/* seconds */
	struct sockaddr_in llm_listen;
	struct sockaddr_in api_listen;
	struct sockaddr_in proxy_listen;
};

/*
 * Reads path into conf. 0 on success; -1 with "path:line: what is wrong" in
 * err. conf_free() is needed in both cases.
 */
int	conf_load(struct conf *, const char *path, char *err, size_t errsz);
void	conf_free(struct conf *);

/* "http", "rpc"... */
const char *conf_kind_name(enum link_kind);

#endif /* LINK_CONF_H */
