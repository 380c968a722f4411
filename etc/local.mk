# Build rules of etc/.
# SPDX-License-Identifier: ISC
