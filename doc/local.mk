# Build rules of doc/.
# SPDX-License-Identifier: ISC
