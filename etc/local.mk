# Build rules of etc/.
# SPDX-License-Identifier: ISC
pkglibexec_SCRIPTS += etc/incus-setup etc/debian-source
EXTRA_DIST += etc/incus-setup etc/debian-source
