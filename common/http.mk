# Build rules of the HTTP, SSE and JSON modules in common/.
# SPDX-License-Identifier: ISC
