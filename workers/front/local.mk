# Build rules of workers/front/.
# SPDX-License-Identifier: ISC
