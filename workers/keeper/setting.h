/*
 * Changes of a live agent.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef SETTING_H
#define SETTING_H

struct agent;
struct jbuf;

/* The member fallback_models of an agent's document. */
void	setting_fallbacks_json(struct jbuf *, const struct agent *);

#endif /* SETTING_H */
