# Build rules of catalog/.
# SPDX-License-Identifier: ISC
