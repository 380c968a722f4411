/*
 * The directories and the secrets that must be there before anything starts.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef FILES_H
#define FILES_H

struct conf;

/*
 * Makes the state, run and log directories with their owners and modes, the
 * local token and the state key, and sets the node id if the configuration
 * has none.  Fatal on failure.
 */
void	files_prepare(struct conf *);
/* Opens the local token or the state key for reading; -1 with errno. */
int	files_open_token(const struct conf *);
int	files_open_key(const struct conf *);

#endif /* FILES_H */
