/*
 * A pass: what keeper says about who sent a request, for one audience.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper (makes), proxy and trace (verify); front carries it.
 *
 * keeper shares one key with each audience, so a pass for trace is worth
 * nothing at proxy, and nobody but keeper can make one.
 */
#ifndef PASS_H
#define PASS_H

#include <stdint.h>

#include "msg.h"

#define PASS_KEY_LEN	32
#define PASS_BOOT_LEN	16
#define PASS_LEN	160	/* of an encoded pass */
#define PASS_TTL_MS	30000

struct pass {
	enum role	role;
	enum proc	audience;
	char		principal[65];	/* "root", "uid:1000", "token" ... */
	uint64_t	conn;		/* front's connection */
	uint64_t	expires_ms;	/* CLOCK_BOOTTIME */
};

struct pass_ctx {
	uint8_t		key[PASS_KEY_LEN];
	uint8_t		boot[PASS_BOOT_LEN];	/* keeper's start */
	int		set;
};

void	pass_make(const struct pass_ctx *, const struct pass *,
	    uint8_t [PASS_LEN]);
/*
 * 0 and *out, or -1 with errno EACCES (forged, another audience's, another
 * start's) or ETIMEDOUT (over).
 */
int	pass_check(const struct pass_ctx *, enum proc self,
	    const struct msg_bytes *, struct pass *out);

#endif /* PASS_H */
