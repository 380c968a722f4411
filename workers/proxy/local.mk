# Build rules of workers/proxy/.
# SPDX-License-Identifier: ISC
