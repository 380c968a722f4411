/*
 * A pass: what keeper says about who sent a request, for one audience.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper, proxy, trace.
 *
 * Layout, integers in host order: version u8, role u8, audience u8, zero u8,
 * length of the principal u32, conn u64, expires u64, boot 16, principal 64,
 * zeros up to the MAC, MAC 32 (crypto_auth of libsodium, HMAC-SHA-512-256).
 */
#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "pass.h"
#include "sys.h"

#define PASS_VERSION	1
#define OFF_CONN	8
#define OFF_EXPIRES	16
#define OFF_BOOT	24
#define OFF_PRINCIPAL	40
#define OFF_MAC		(PASS_LEN - crypto_auth_BYTES)
#define PRINCIPAL_MAX	64

_Static_assert(crypto_auth_KEYBYTES == PASS_KEY_LEN, "key length");
_Static_assert(OFF_PRINCIPAL + PRINCIPAL_MAX <= OFF_MAC, "layout");

void
pass_make(const struct pass_ctx *ctx, const struct pass *p,
    uint8_t out[PASS_LEN])
{
	uint32_t len = (uint32_t)strnlen(p->principal, PRINCIPAL_MAX);

	memset(out, 0, PASS_LEN);
	out[0] = PASS_VERSION;
	out[1] = (uint8_t)p->role;
	out[2] = (uint8_t)p->audience;
	memcpy(out + 4, &len, sizeof(len));
	memcpy(out + OFF_CONN, &p->conn, sizeof(p->conn));
	memcpy(out + OFF_EXPIRES, &p->expires_ms, sizeof(p->expires_ms));
	memcpy(out + OFF_BOOT, ctx->boot, PASS_BOOT_LEN);
	memcpy(out + OFF_PRINCIPAL, p->principal, len);
	crypto_auth(out + OFF_MAC, out, OFF_MAC, ctx->key);
}

int
pass_check(const struct pass_ctx *ctx, enum proc self,
    const struct msg_bytes *in, struct pass *p)
{
	const uint8_t *b = in->ptr;
	uint32_t len;

	memset(p, 0, sizeof(*p));
	errno = EACCES;
	if (!ctx->set || in->len != PASS_LEN)
		return -1;
	if (crypto_auth_verify(b + OFF_MAC, b, OFF_MAC, ctx->key) != 0)
		return -1;
	/* Ours by the MAC; what follows says whether it is meant for us. */
	memcpy(&len, b + 4, sizeof(len));
	if (b[0] != PASS_VERSION || b[2] != (uint8_t)self ||
	    (b[1] != ROLE_USER && b[1] != ROLE_ADMIN) ||
	    len == 0 || len > PRINCIPAL_MAX ||
	    memcmp(b + OFF_BOOT, ctx->boot, PASS_BOOT_LEN) != 0)
		return -1;
	p->role = (enum role)b[1];
	p->audience = self;
	memcpy(&p->conn, b + OFF_CONN, sizeof(p->conn));
	memcpy(&p->expires_ms, b + OFF_EXPIRES, sizeof(p->expires_ms));
	memcpy(p->principal, b + OFF_PRINCIPAL, len);
	if (sys_now_ms() >= p->expires_ms) {
		errno = ETIMEDOUT;
		return -1;
	}
	return 0;
}
