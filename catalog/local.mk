# Build rules of catalog/.
# SPDX-License-Identifier: ISC
CATALOG_FILES = \
	catalog/README.md \
	catalog/frameworks/agent-zero.yaml \
	catalog/frameworks/claude.yaml \
	catalog/frameworks/codex.yaml \
	catalog/frameworks/gemini.yaml \
	catalog/frameworks/hermes.yaml \
	catalog/frameworks/ironclaw.yaml \
	catalog/frameworks/langroid.yaml \
	catalog/frameworks/microclaw.yaml \
	catalog/frameworks/moltis.yaml \
	catalog/frameworks/nanoclaw.yaml \
	catalog/frameworks/nullclaw.yaml \
	catalog/frameworks/openai-agents-sdk.yaml \
	catalog/frameworks/openclaw.yaml \
	catalog/frameworks/opencode.yaml \
	catalog/frameworks/pi.yaml \
	catalog/frameworks/picoclaw.yaml \
	catalog/frameworks/pocketflow.yaml \
	catalog/frameworks/qwen.yaml \
	catalog/frameworks/shibaclaw.yaml \
	catalog/frameworks/smolagents.yaml \
	catalog/frameworks/zeroclaw.yaml \
	catalog/images/common/acp-prepare \
	catalog/images/common/manifest.js \
	catalog/images/common/masked \
	catalog/images/common/packages \
	catalog/images/common/root/etc/agentd/proxy.env \
	catalog/images/common/sbom.js \
	catalog/images/common/varying \
	catalog/images/common/root/etc/systemd/journald.conf.d/agentd.conf \
	catalog/images/common/root/etc/systemd/system.conf.d/agentd.conf \
	catalog/images/common/root/etc/systemd/system/agentd-link.service \
	catalog/images/common/root/etc/systemd/system/agentd.target \
	catalog/images/common/root/etc/systemd/system/agentd-recycle.service \
	catalog/images/common/root/etc/systemd/system/agentd-recycle.timer \
	catalog/images/node/package.json \
	catalog/images/node/package-lock.json \
	catalog/images/node-arm64/package.json \
	catalog/images/node-arm64/package-lock.json \
	catalog/images/openclaw/image.conf \
	catalog/images/openclaw/package.json \
	catalog/images/openclaw/package-lock.json \
	catalog/images/openclaw/prepare \
	catalog/images/openclaw/root/etc/agentd-link.conf \
	catalog/images/openclaw/root/usr/lib/agentd/openclaw-token \
	catalog/images/openclaw/root/etc/systemd/system/openclaw.service \
	catalog/images/openclaw/root/root/.openclaw/openclaw.json \
	catalog/images/opencode/image.conf \
	catalog/images/opencode/package.json \
	catalog/images/opencode/package-lock.json \
	catalog/images/opencode/prepare \
	catalog/images/opencode/root/etc/agentd-link.conf \
	catalog/images/opencode/root/root/.config/opencode/opencode.json \
	catalog/images/pi/image.conf \
	catalog/images/pi/package.json \
	catalog/images/pi/package-lock.json \
	catalog/images/pi/prepare \
	catalog/images/pi/root/etc/agentd-link.conf \
	catalog/images/pi/root/root/.pi/agent/models.json \
	catalog/images/pi/root/root/.pi/agent/settings.json \
	catalog/images/python/root/usr/lib/agentd/python/acp_agent.py \
	catalog/images/smolagents/image.conf \
	catalog/images/smolagents/packages \
	catalog/images/smolagents/requirements.txt \
	catalog/images/smolagents/root/etc/agentd-link.conf \
	catalog/images/smolagents/root/usr/lib/agentd/agent.py \
	catalog/images/openai-agents-sdk/image.conf \
	catalog/images/openai-agents-sdk/packages \
	catalog/images/openai-agents-sdk/requirements.txt \
	catalog/images/openai-agents-sdk/root/etc/agentd-link.conf \
	catalog/images/openai-agents-sdk/root/usr/lib/agentd/agent.py \
	catalog/images/pocketflow/image.conf \
	catalog/images/pocketflow/packages \
	catalog/images/pocketflow/requirements.txt \
	catalog/images/pocketflow/root/etc/agentd-link.conf \
	catalog/images/pocketflow/root/usr/lib/agentd/agent.py \
	catalog/images/qwen/image.conf \
	catalog/images/qwen/package.json \
	catalog/images/qwen/package-lock.json \
	catalog/images/qwen/prepare \
	catalog/images/qwen/root/etc/agentd-link.conf \
	catalog/images/qwen/root/root/.qwen/settings.json

nobase_pkgdata_DATA = $(CATALOG_FILES)
pkglibexec_SCRIPTS += ctl/image-build
EXTRA_DIST += $(CATALOG_FILES) ctl/image-build.in catalog/ci/images.yml \
	catalog/ci/publish catalog/ci/smoke
CLEANFILES += ctl/image-build

ctl/image-build: ctl/image-build.in Makefile
	$(AM_V_GEN)$(MKDIR_P) ctl && $(SED) \
	    -e 's,@pkgdatadir[@],$(pkgdatadir),g' \
	    -e 's,@pkglibexecdir[@],$(pkglibexecdir),g' \
	    -e 's,@PACKAGE_VERSION[@],$(PACKAGE_VERSION),g' \
	    $(srcdir)/ctl/image-build.in >$@.tmp && \
	    chmod +x $@.tmp && mv $@.tmp $@
