# Build rules of supervisor/.
# SPDX-License-Identifier: ISC
