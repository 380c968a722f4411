# Build rules of workers/container/.
# SPDX-License-Identifier: ISC
