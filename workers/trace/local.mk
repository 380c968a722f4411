# Build rules of workers/trace/.
# SPDX-License-Identifier: ISC
