# Build rules of workers/gateway/.
# SPDX-License-Identifier: ISC
