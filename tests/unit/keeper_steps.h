/*
 * Steps that the tests of keeper share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#ifndef KEEPER_STEPS_H
#define KEEPER_STEPS_H

#include "keeper_fake.h"
#include "sys.h"

/* The last answer, and what was picked from answers. */
extern struct fake_answer	 ans;
extern char	 agent[ID_LEN + 1], channel[ID_LEN + 1], message[ID_LEN + 1];

/* Before and after each test. */
int	 step_setup(void **);
int	 step_teardown(void **);
/* The id that follows a key in the last answer. */
void	 step_pick(const char *key, char out[ID_LEN + 1]);
bool	 step_has(const char *text);
/* Each asks as front and gives the status. */
void	 step_ask_deploy(const char *name, const char *idempotency_key);
void	 step_ask_deploy_net(const char *name, const char *idempotency_key,
	    const char *network);
uint32_t step_get(const char *slug);
uint32_t step_act(const char *slug, const char *action);
uint32_t step_deploy_status(const char *slug);
uint32_t step_post(const char *text, const char *idempotency_key);
/* An agent "alpha" that runs and is connected. */
void	 step_deploy(void);
/* Waits until nothing of "alpha" is left, and kills keeper. */
void	 step_nothing(void);

#define T(fn) cmocka_unit_test_setup_teardown(fn, step_setup, step_teardown)

#endif /* KEEPER_STEPS_H */
