# Build rules of link/.
# SPDX-License-Identifier: ISC
