# Manual page of agentctl.
# SPDX-License-Identifier: ISC
dist_man_MANS += doc/agentctl.8 doc/agentd-export.5
