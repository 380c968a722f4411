# Build rules of workers/keeper/.
# SPDX-License-Identifier: ISC
