# Build rules of workers/upstream/.
# SPDX-License-Identifier: ISC
