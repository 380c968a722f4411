# Build rules of common/.
# SPDX-License-Identifier: ISC
