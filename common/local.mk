# Build rules of common/.
# SPDX-License-Identifier: ISC
include common/http.mk
