/*
 * The capabilities of the supervisor and of what it starts.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "caps.h"
#include "log.h"

/* Sockets and directories of others: CHOWN, FOWNER, DAC_OVERRIDE. */
static const int kept[] = {
	CAP_CHOWN,
	CAP_DAC_OVERRIDE,
	CAP_FOWNER,
	CAP_KILL,
	CAP_SETGID,
	CAP_SETUID,
	CAP_SETPCAP,
	CAP_NET_BIND_SERVICE,
};

static uint64_t
kept_mask(void)
{
	uint64_t mask = 0;
	size_t i;

	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		mask |= 1ULL << kept[i];
	return mask;
}

/* Drops what is not in the mask from the bounding set. */
static int
bound(uint64_t mask)
{
	int cap;

	for (cap = 0; cap < 64; cap++) {
		if (mask & 1ULL << cap)
			continue;
		/* EINVAL: the kernel knows no such capability. */
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return errno == EINVAL ? 0 : -1;
	}
	return 0;
}

/* Permitted and effective become mask, as far as they were; no others. */
static int
set(uint64_t mask)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	int i;

	if (syscall(SYS_capget, &head, data) == -1)
		return -1;
	for (i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(mask >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return (int)syscall(SYS_capset, &head, data);
}

void
caps_reduce(void)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1 ||
	    bound(kept_mask()) == -1 || set(kept_mask()) == -1)
		fatal("capabilities");
}

int
caps_drop_all(void)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1 ||
	    bound(0) == -1)
		return -1;
	/* To change user takes these two; the change itself drops them. */
	return set(1ULL << CAP_SETUID | 1ULL << CAP_SETGID);
}
