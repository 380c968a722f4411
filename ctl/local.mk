# Build rules of ctl/.
# SPDX-License-Identifier: ISC
include ctl/agentctl.mk
