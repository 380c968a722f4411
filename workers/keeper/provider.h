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

/* NULL, or a sentence that begins with the field that is wrong. */
const char	*provider_wrong(const struct m_provider_add *);

#endif /* PROVIDER_H */
