# Build rules of doc/.
# SPDX-License-Identifier: ISC
include doc/super.mk
include doc/ctl.mk
