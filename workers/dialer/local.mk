# Build rules of workers/dialer/.
# SPDX-License-Identifier: ISC
