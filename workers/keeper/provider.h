/*
 * What a provider must look like.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef PROVIDER_H
#define PROVIDER_H

#include "msg.h"
#include "secret.h"

/* NULL, or a sentence that begins with the field that is wrong. */
const char	*provider_wrong(const struct m_provider_add *);

/* The key of secrets at rest, set or not. */
const struct secret_key *provider_key(void);

#endif /* PROVIDER_H */
