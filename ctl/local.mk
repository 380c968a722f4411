# Build rules of ctl/.
# SPDX-License-Identifier: ISC
